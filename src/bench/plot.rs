//! Pictures of a report, as SVG: kernels below the roofs of their device, tokens a second against the batch.

use std::collections::BTreeMap;
use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::ValueFormatter;
use plotters::prelude::*;

use super::report::{KernelLine, Limits, Report};
use super::text::{short, short_with};
use crate::error::{Error, Result};

/// Width and height in pixels.
const SIZE: (u32, u32) = (1080, 620);
/// Of it, the column on the right that says what the marks are, and the line below that says where figures come from.
const KEY: u32 = 250;
const SOURCE: u32 = 28;
/// Height of a line of the key.
const LINE: usize = 19;
const FONT: &str = "sans-serif";
const GREY: RGBColor = RGBColor(0x60, 0x60, 0x60);
/// Colours that the colour-blind can tell apart.
const COLORS: [RGBColor; 7] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0x33, 0x33, 0x33),
];

/// The pictures that a report has data for: (file name, SVG).
///
/// # Errors
/// Figures that no axis can hold.
pub fn pictures(report: &Report) -> Result<Vec<(&'static str, String)>> {
    let mut pictures = Vec::new();
    if let Some(limits) = report.limits.as_ref().filter(|_| !report.kernels.is_empty()) {
        pictures.push(("roofline.svg", draw(report, |area| roofline(report, limits, area))?));
    }
    let series = by_batch(report);
    if series.values().any(|points| points.len() > 1) {
        pictures.push(("batch.svg", draw(report, |area| against_batch(report, &series, area))?));
    }
    Ok(pictures)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

/// A picture, and below it where its figures come from.
fn draw(report: &Report, picture: impl FnOnce(&Area<'_>) -> Drawn) -> Result<String> {
    let mut svg = String::new();
    let machine = &report.machine;
    let driver = if machine.driver.is_empty() { &machine.cpu } else { &machine.driver };
    let source = format!("gatefold {}, {}, {}, {driver}", report.gatefold, report.date, machine.backend);
    let whole = |area: &Area<'_>| -> Drawn {
        area.fill(&WHITE)?;
        write(area, &source, (16, SIZE.1 as i32 - 22), 12, GREY)?;
        picture(area)?;
        Ok(area.present()?)
    };
    let drawn = whole(&SVGBackend::with_string(&mut svg, SIZE).into_drawing_area());
    drawn.map_err(|e| Error::Picture { reason: e.to_string() })?;
    Ok(svg)
}

fn write(area: &Area<'_>, text: &str, at: (i32, i32), size: i32, color: RGBColor) -> Drawn {
    let style = (FONT, size).into_font().color(&color);
    Ok(area.draw(&Text::new(text.to_string(), at, style))?)
}

/// Where a chart stands: left of the key, above the source.
fn chart_area<'a>(area: &Area<'a>) -> Area<'a> {
    area.margin(0, SOURCE, 0, KEY)
}

/// From the power of ten below some numbers to a little above them; those that are not positive are left out.
fn range(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (low, high) =
        values.filter(|v| *v > 0.0 && v.is_finite()).fold((f64::MAX, 0.0f64), |(l, h), v| (l.min(v), h.max(v)));
    if high == 0.0 {
        return 0.1..10.0;
    }
    10f64.powf((low * 0.9).log10().floor())..1.6 * high
}

/// The number at a tick: 1, 10, 100, 1 k.
fn tick(x: &f64) -> String {
    let text = short(*x * (1.0 + 1e-9));
    let (number, unit) = text.split_once(' ').unwrap_or((&text, ""));
    let number = if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number };
    format!("{number} {unit}").trim_end().to_string()
}

/// Grid, axes and their names.
fn axes<'a, X, Y>(chart: &mut ChartContext<'_, SVGBackend<'a>, Cartesian2d<X, Y>>, [x, y]: [&str; 2]) -> Drawn
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    chart
        .configure_mesh()
        .x_desc(x)
        .y_desc(y)
        .x_label_formatter(&tick)
        .y_label_formatter(&tick)
        .label_style((FONT, 14))
        .axis_desc_style((FONT, 15))
        .axis_style(GREY)
        .bold_line_style(RGBColor(0xd0, 0xd0, 0xd0))
        .light_line_style(RGBColor(0xf2, 0xf2, 0xf2))
        .draw()?;
    Ok(())
}

/// Draws the mark of the series `i` at a pixel: colours take turns, and where they are used up, forms.
fn mark(area: &Area<'_>, i: usize, at: (i32, i32), filled: bool) -> Drawn {
    let color = color(i);
    let style = if filled { color.filled() } else { color.stroke_width(2) };
    let corners: &[(i32, i32)] = match i / COLORS.len() % 4 {
        0 => return Ok(area.draw(&Circle::new(at, 5, style))?),
        1 => &[(-4, -4), (4, -4), (4, 4), (-4, 4)],
        2 => &[(0, -6), (6, 5), (-6, 5)],
        _ => &[(0, -6), (6, 0), (0, 6), (-6, 0)],
    };
    let corners: Vec<(i32, i32)> = corners.iter().map(|(x, y)| (at.0 + x, at.1 + y)).collect();
    match filled {
        true => area.draw(&Polygon::new(corners, style))?,
        false => area.draw(&PathElement::new([&corners[..], &corners[..1]].concat(), style))?,
    }
    Ok(())
}

fn color(i: usize) -> RGBColor {
    COLORS[i % COLORS.len()]
}

/// A line of the key: how it is marked, and what it says.
enum Key {
    Line(ShapeStyle),
    Dashes(ShapeStyle),
    Mark(usize),
    Note,
}

/// The column on the right.
fn key(area: &Area<'_>, lines: &[(Key, String)]) -> Drawn {
    let left = (SIZE.0 - KEY + 8) as i32;
    for (i, (key, text)) in lines.iter().enumerate() {
        let y = 58 + (i * LINE) as i32;
        let stroke = |from: i32, to: i32, style: &ShapeStyle| {
            area.draw(&PathElement::new([(left + from, y), (left + to, y)], *style))
        };
        match key {
            Key::Line(style) => stroke(0, 24, style)?,
            Key::Dashes(style) => [(0, 6), (9, 15), (18, 24)].iter().try_for_each(|(a, b)| stroke(*a, *b, style))?,
            Key::Mark(i) => mark(area, *i, (left + 12, y), true)?,
            Key::Note => {}
        }
        let color = if matches!(key, Key::Note) { GREY } else { BLACK };
        write(area, text, (left + 32, y - 5), 13, color)?;
    }
    Ok(())
}

/// Flops a second against flops a byte: below a slope (memory) and a ceiling (arithmetic).
fn roofline(report: &Report, limits: &Limits, area: &Area<'_>) -> Drawn {
    let points: Vec<&KernelLine> = report.kernels.iter().filter(|k| k.flops > 0.0 && k.bytes > 0.0).collect();
    let (copy, most) = (limits.copy_gigabytes.max(1e-9), limits.multiply_add_gflops);
    let ridge = most / copy;
    let x = range(points.iter().map(|k| k.flops / k.bytes).chain([ridge]));
    let y = range(points.iter().map(|k| k.gflops).chain([most, limits.matrix_gflops]));
    let left = chart_area(area);
    let mut chart = ChartBuilder::on(&left)
        .caption(format!("Kernels of {}, and its limits", report.machine.device), (FONT, 19))
        .margin(16)
        .x_label_area_size(48)
        .y_label_area_size(64)
        .build_cartesian_2d(x.clone().log_scale(), y.clone().log_scale())?;
    axes(&mut chart, ["flops per byte that must move", "GFLOP/s"])?;
    let (roof, matrix) = (BLACK.stroke_width(2), GREY.stroke_width(1));
    let start = x.start.max(y.start / copy);
    let below = |at: f64| (at, (at * copy).min(most));
    let corners = if ridge > start { vec![start, ridge, x.end] } else { vec![start, x.end] };
    chart.draw_series(LineSeries::new(corners.into_iter().map(below), roof))?;
    let rate = limits.matrix_gflops;
    chart.draw_series(DashedLineSeries::new([(start.max(rate / copy), rate), (x.end, rate)], 6, 4, matrix))?;
    let gigabytes = format!("copy {}", short_with(limits.copy_gigabytes * 1e9, "B/s"));
    let rate = |name: &str, rate: f64| format!("{name} {}", short_with(rate * 1e9, "FLOP/s"));
    let mut lines = vec![
        (Key::Line(roof), gigabytes),
        (Key::Line(roof), rate("multiply-add", most)),
        (Key::Dashes(matrix), rate("matrix product", limits.matrix_gflops)),
    ];
    let mut ops: BTreeMap<&str, Vec<&KernelLine>> = BTreeMap::new();
    points.iter().for_each(|k| ops.entry(&k.op).or_default().push(k));
    for (i, (op, kernels)) in ops.into_iter().enumerate() {
        for k in kernels {
            let at = chart.backend_coord(&(k.flops / k.bytes, k.gflops.max(y.start)));
            mark(area, i, at, k.chosen)?;
        }
        lines.push((Key::Mark(i), op.to_string()));
    }
    if points.iter().any(|k| !k.chosen) {
        lines.push((Key::Note, "filled: what the device takes".into()));
        lines.push((Key::Note, "hollow: another kernel".into()));
    }
    key(area, &lines)
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
    let y = range(series.values().flat_map(|points| points.values().copied()));
    let left = chart_area(area);
    let mut chart = ChartBuilder::on(&left)
        .caption(format!("Tokens a second on {}", report.machine.device), (FONT, 19))
        .margin(16)
        .x_label_area_size(48)
        .y_label_area_size(64)
        .build_cartesian_2d((least..most).log_scale().base(2.0), y.log_scale())?;
    axes(&mut chart, ["batch: sequences side by side", "tokens a second, all sequences together"])?;
    let mut lines = Vec::new();
    for (i, ((job, workload), points)) in series.iter().enumerate() {
        let points: Vec<(f64, f64)> = points.iter().map(|(batch, rate)| (*batch as f64, *rate)).collect();
        chart.draw_series(LineSeries::new(points.iter().copied(), color(i).stroke_width(2)))?;
        points.iter().try_for_each(|at| mark(area, i, chart.backend_coord(at), true))?;
        lines.push((Key::Mark(i), format!("{job} {workload}")));
    }
    key(area, &lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_short() {
        assert_eq!([0.1, 1.0, 10.0, 250.0, 1e3, 2.5e4].map(|x| tick(&x)), ["0.1", "1", "10", "250", "1 k", "25 k"]);
    }

    #[test]
    fn axes_begin_at_a_power_of_ten() {
        assert_eq!(range([5.0, 0.0, 700.0].into_iter()).start, 1.0);
        assert_eq!(range(std::iter::empty()), 0.1..10.0);
    }
}
