//! The losses of a run as a picture.

use plotters::prelude::*;

use crate::error::{Error, Result};
use crate::train::Curves;

/// Width and height in pixels.
const SIZE: (u32, u32) = (900, 540);
/// Of the curves: blue and orange that the colour-blind can tell apart.
const TRAIN: RGBColor = RGBColor(0x00, 0x72, 0xb2);
const VALID: RGBColor = RGBColor(0xd5, 0x5e, 0x00);

/// An SVG of the losses over the steps, in nats; `title` stands above. Without a loss there is no picture.
///
/// # Errors
/// None that is known; the drawing library has them in its types.
pub(super) fn chart(title: &str, curves: &Curves) -> Result<Option<String>> {
    let [train, valid] = curves.points();
    let Some((low, high)) = range(train.iter().chain(&valid).map(|(_, loss)| *loss)) else { return Ok(None) };
    let mut svg = String::new();
    let shown = [("training", TRAIN, &*train), ("validation", VALID, &*valid)];
    draw(&mut svg, title, curves.last().max(1), (low, high), shown)
        .map_err(|e| Error::Picture { reason: format!("loss.svg: {e}") })?;
    Ok(Some(svg))
}

type Points = [(u32, f64)];

fn draw(
    svg: &mut String,
    title: &str,
    last: u32,
    (low, high): (f64, f64),
    curves: [(&str, RGBColor, &Points); 2],
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 20))
        .margin(12)
        .margin_right(28)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(0..last, low..high)?;
    let decimals = if high - low < 0.05 { 4 } else { 2 };
    chart
        .configure_mesh()
        .x_desc("steps")
        .y_desc("loss, nats per token")
        .x_label_formatter(&|step| step.to_string())
        .y_label_formatter(&|loss| format!("{loss:.decimals$}"))
        .x_labels(8)
        .y_labels(8)
        .light_line_style(WHITE)
        .bold_line_style(RGBColor(0xe0, 0xe0, 0xe0))
        .axis_style(RGBColor(0x60, 0x60, 0x60))
        .label_style(("sans-serif", 14))
        .draw()?;
    for (name, colour, points) in curves.into_iter().filter(|(_, _, points)| !points.is_empty()) {
        let text = format!("{name}, last {:.4}", points[points.len() - 1].1);
        chart
            .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?
            .label(text)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 22, y)], colour.stroke_width(3)));
        if points.len() < 40 {
            chart.draw_series(points.iter().map(|at| Circle::new(*at, 3, colour.filled())))?;
        }
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.85))
        .label_font(("sans-serif", 15))
        .legend_area_size(28)
        .margin(12)
        .draw()?;
    area.present()?;
    Ok(())
}

/// The losses from the lowest to the highest with some air around. The first losses of a run, far above all others,
/// do not count: at most 1 of 50 is cut off.
fn range(losses: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let mut losses: Vec<f64> = losses.filter(|loss| loss.is_finite()).collect();
    losses.sort_by(f64::total_cmp);
    let low = *losses.first()?;
    let high = losses[losses.len() - 1 - losses.len() / 50];
    let air = ((high - low) * 0.05).max(1e-3);
    Some((low - air, high + air))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Line;

    fn line(step: u32, loss: f64, valid_loss: Option<f64>) -> Line {
        Line {
            step,
            epoch: 0.0,
            loss: Some(loss),
            valid_loss,
            perplexity: None,
            learning_rate: 0.0,
            gradient_norm: 0.0,
            tokens_per_second: 0.0,
        }
    }

    #[test]
    fn a_picture_has_both_curves_and_their_last_values() {
        let chart = |title: &str, lines: &[Line]| {
            let mut curves = Curves::default();
            lines.iter().for_each(|line| curves.add(line));
            super::chart(title, &curves)
        };
        assert_eq!(chart("nothing", &[]).unwrap(), None);
        let lines: Vec<Line> = (1..5000u32)
            .map(|i| line(10 * i, 4.0 / f64::from(i).sqrt(), i.is_multiple_of(100).then_some(1.25)))
            .collect();
        let svg = chart("a run <&>", &lines).unwrap().unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        for part in ["training, last 0.05", "validation, last 1.2500", "steps", "nats per token", "a run &lt;&amp;&gt;"]
        {
            assert!(svg.contains(part), "{part}");
        }
        assert!(svg.len() < 100_000, "{} bytes", svg.len());
        assert!(chart("one", &lines[..1]).unwrap().is_some());
    }
}
