//! How far something is, on one line of a terminal of any width.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Characters of the line where the terminal does not say how many it has.
const WIDTH: usize = 80;
/// Characters of a bar at least, and at most.
const BAR: std::ops::RangeInclusive<usize> = 8..=24;

/// A line on standard error that is written over, where that is a terminal and nobody asked for silence.
pub(super) struct Bar {
    bar: Option<ProgressBar>,
}

impl Bar {
    pub fn new() -> Bar {
        let shows = std::io::stderr().is_terminal() && !super::is_quiet();
        Bar {
            bar: shows.then(|| {
                let style = ProgressStyle::with_template("{wide_msg}").expect("a template");
                ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5)).with_style(style)
            }),
        }
    }

    /// Whether there is no such line.
    pub fn is_hidden(&self) -> bool {
        self.bar.is_none()
    }

    /// Shows the share that is done, if it is known, and what else there is to say, the most important first.
    pub fn show(&self, share: Option<f64>, parts: &[String]) {
        if let Some(bar) = &self.bar {
            bar.set_message(line(share, parts, width()));
            bar.tick();
        }
    }

    /// Says something above it.
    pub fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| super::note(text)),
            None => super::note(text),
        }
    }

    /// Takes it away.
    pub fn clear(&self) {
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
    }
}

impl Drop for Bar {
    /// An error on the way must not be written after it.
    fn drop(&mut self) {
        self.clear();
    }
}

/// Characters of a line of the terminal on standard error.
pub(super) fn width() -> usize {
    terminal_size::terminal_size_of(std::io::stderr()).map_or(WIDTH, |(width, _)| width.0.into())
}

/// One line of fewer than `width` characters: percent, then the parts that fit, then a bar in front where there is room.
fn line(share: Option<f64>, parts: &[String], width: usize) -> String {
    let share = share.map(|share| share.clamp(0.0, 1.0));
    let mut text = share.map_or(String::new(), |share| format!("{:3.0} %", 100.0 * share));
    for part in parts {
        let gap = if text.is_empty() { "" } else { ", " };
        if text.chars().count() + gap.len() + part.chars().count() < width {
            text += gap;
            text += part;
        }
    }
    let room = width.saturating_sub(text.chars().count() + 2).min(*BAR.end());
    match share {
        Some(share) if BAR.contains(&room) => {
            let full = (share * room as f64).round() as usize;
            format!("{}{} {text}", "\u{2588}".repeat(full), "\u{2591}".repeat(room - full))
        }
        _ => text,
    }
}

/// A time such as `5 s`, `1:05 min`, `1:02 h`.
pub(super) fn in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{}:{:02} min", seconds / 60, seconds % 60),
        _ => format!("{}:{:02} h", seconds / 3600, seconds / 60 % 60),
    }
}

/// The time that is left at the pace so far, if it can be told.
pub(super) fn left(passed: Duration, first: f64, share: f64) -> Option<Duration> {
    let left = passed.as_secs_f64() * (1.0 - share) / (share - first);
    (share > first && left.is_finite() && left < 1e9).then(|| Duration::from_secs_f64(left.max(0.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_fits_every_terminal() {
        let parts = ["1,000/200,000 sequences", "123,456 tokens/s", "1:05 min left"].map(String::from);
        let of = |width| line(Some(0.005), &parts, width);
        assert_eq!(of(24), "  0 %, 123,456 tokens/s");
        assert!(of(20).ends_with("\u{2591}   0 %"), "{}", of(20));
        for width in 0..200 {
            let text = of(width);
            assert!(text.chars().count() < width.max(6), "{width}: {text}");
        }
        assert!(of(40).ends_with("\u{2591}   0 %, 1,000/200,000 sequences"), "{}", of(40));
        assert!(of(80).ends_with("  0 %, 1,000/200,000 sequences, 123,456 tokens/s, 1:05 min left"), "{}", of(80));
        assert!(of(80).starts_with('\u{2591}'), "{}", of(80));
        assert_eq!(line(None, &parts[1..], 20), "123,456 tokens/s");
    }

    #[test]
    fn times_are_short() {
        let times = [5, 65, 3600 + 120, 100 * 3600].map(|s| in_words(Duration::from_secs(s)));
        assert_eq!(times, ["5 s", "1:05 min", "1:02 h", "100:00 h"]);
        assert_eq!(left(Duration::from_secs(10), 0.5, 0.75), Some(Duration::from_secs(10)));
        assert_eq!(left(Duration::from_secs(10), 0.5, 0.5), None);
    }
}
