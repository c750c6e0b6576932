//! Pictures of a report, as SVG: kernels below the roofs of their device, tokens a second against the batch.

use std::collections::BTreeMap;

use plotters::coord::Shift;
use plotters::coord::ranged1d::ValueFormatter;
use plotters::prelude::*;

use super::report::{KernelLine, Limits, Report};
use super::text::short;
use crate::error::{Error, Result};

const SIZE: (u32, u32) = (960, 600);
const FONT: &str = "sans-serif";

/// The pictures that a report has data for: (file name, SVG).
///
/// # Errors
/// Figures that no axis can hold.
pub fn pictures(report: &Report) -> Result<Vec<(&'static str, String)>> {
    let mut pictures = Vec::new();
    if let Some(limits) = report.limits.as_ref().filter(|_| !report.kernels.is_empty()) {
        pictures.push(("roofline.svg", draw(|area| roofline(report, limits, area))?));
    }
    let series = by_batch(report);
    if series.values().any(|points| points.len() > 1) {
        pictures.push(("batch.svg", draw(|area| against_batch(report, &series, area))?));
    }
    Ok(pictures)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

fn draw(picture: impl FnOnce(&Area<'_>) -> Drawn) -> Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let drawn = area.fill(&WHITE).map_err(Into::into).and_then(|()| picture(&area));
        drawn
            .and_then(|()| Ok(area.present()?))
            .map_err(|e| Error::Limit(format!("no picture could be drawn: {e}")))?;
    }
    Ok(svg)
}

/// A range of whole decades around some numbers, those that are not positive left out.
fn decades(values: impl Iterator<Item = f64>) -> std::ops::Range<f64> {
    let (low, high) =
        values.filter(|v| *v > 0.0 && v.is_finite()).fold((f64::MAX, 0.0f64), |(l, h), v| (l.min(v), h.max(v)));
    if high == 0.0 {
        return 0.1..10.0;
    }
    10f64.powf((low * 0.8).log10().floor())..10f64.powf((high * 1.25).log10().ceil())
}

/// Flops a second against flops a byte: below a slope (memory) and a ceiling (arithmetic).
fn roofline(report: &Report, limits: &Limits, area: &Area<'_>) -> Drawn {
    let points: Vec<&KernelLine> = report.kernels.iter().filter(|k| k.flops > 0.0 && k.bytes > 0.0).collect();
    let ridge = limits.multiply_add_gflops / limits.copy_gigabytes.max(1e-9);
    let x = decades(points.iter().map(|k| k.flops / k.bytes).chain([ridge]));
    let y = decades(points.iter().map(|k| k.gflops).chain([limits.multiply_add_gflops, limits.matrix_gflops]));
    let mut chart = ChartBuilder::on(area)
        .caption(format!("Kernels on {}", report.machine.device), (FONT, 20))
        .margin(16)
        .x_label_area_size(48)
        .y_label_area_size(72)
        .build_cartesian_2d(x.clone().log_scale(), y.clone().log_scale())?;
    chart
        .configure_mesh()
        .x_desc("flops a byte")
        .y_desc("GFLOP/s")
        .label_style((FONT, 14))
        .axis_desc_style((FONT, 16))
        .x_label_formatter(&|x| short(*x))
        .y_label_formatter(&|y| short(*y))
        .light_line_style(WHITE)
        .draw()?;
    let roof = |at: f64| (at, (at * limits.copy_gigabytes).min(limits.multiply_add_gflops).max(y.start));
    let start = x.start.max(y.start / limits.copy_gigabytes.max(1e-9));
    let roofs = format!(
        "copy {} GB/s, multiply-add {} GFLOP/s",
        short(limits.copy_gigabytes),
        short(limits.multiply_add_gflops)
    );
    let ends = if ridge > start && ridge < x.end { vec![start, ridge, x.end] } else { vec![start, x.end] };
    chart
        .draw_series(LineSeries::new(ends.into_iter().map(roof), BLACK.stroke_width(2)))?
        .label(roofs)
        .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], BLACK.stroke_width(2)));
    let mut ops: BTreeMap<&str, Vec<&KernelLine>> = BTreeMap::new();
    points.iter().for_each(|k| ops.entry(&k.op).or_default().push(k));
    for (i, (op, lines)) in ops.into_iter().enumerate() {
        let color = Palette99::pick(i).to_rgba();
        let dot = |k: &&KernelLine| {
            let style = if k.chosen { color.filled() } else { color.stroke_width(1) };
            Circle::new((k.flops / k.bytes, k.gflops.max(y.start)), 5, style)
        };
        chart
            .draw_series(lines.iter().map(dot))?
            .label(op)
            .legend(move |(x, y)| Circle::new((x + 9, y), 5, color.filled()));
    }
    legend(&mut chart, SeriesLabelPosition::LowerRight)
}

fn legend<'a, 'b: 'a, X, Y>(
    chart: &mut ChartContext<'a, SVGBackend<'b>, Cartesian2d<X, Y>>,
    position: SeriesLabelPosition,
) -> Drawn
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    chart
        .configure_series_labels()
        .position(position)
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.3))
        .label_font((FONT, 14))
        .draw()?;
    Ok(())
}

/// Tokens a second by batch, for each job and workload.
type Series<'a> = BTreeMap<(&'a str, &'a str), BTreeMap<usize, f64>>;

fn by_batch(report: &Report) -> Series<'_> {
    let mut series = Series::new();
    for run in &report.runs {
        series.entry((&run.job, &run.workload)).or_default().insert(run.batch, run.tokens_per_second);
    }
    series
}

fn against_batch(report: &Report, series: &Series<'_>, area: &Area<'_>) -> Drawn {
    let batches = || series.values().flat_map(|points| points.keys().map(|b| *b as f64));
    let least = batches().fold(f64::MAX, f64::min) / 1.25;
    let most = batches().fold(1.0, f64::max) * 1.25;
    let y = decades(series.values().flat_map(|points| points.values().copied()));
    let mut chart = ChartBuilder::on(area)
        .caption(format!("Batch on {}", report.machine.device), (FONT, 20))
        .margin(16)
        .x_label_area_size(48)
        .y_label_area_size(72)
        .build_cartesian_2d((least..most).log_scale().base(2.0), y.log_scale())?;
    chart
        .configure_mesh()
        .x_desc("sequences side by side")
        .y_desc("tokens a second")
        .label_style((FONT, 14))
        .axis_desc_style((FONT, 16))
        .x_label_formatter(&|x| short(*x))
        .y_label_formatter(&|y| short(*y))
        .light_line_style(WHITE)
        .draw()?;
    for (i, ((job, workload), points)) in series.iter().enumerate() {
        let color = Palette99::pick(i).to_rgba();
        let points = points.iter().map(|(batch, rate)| (*batch as f64, *rate));
        chart
            .draw_series(LineSeries::new(points, color.stroke_width(2)).point_size(4))?
            .label(format!("{job} {workload}"))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
    }
    legend(&mut chart, SeriesLabelPosition::UpperLeft)
}
