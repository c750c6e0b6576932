//! The losses of a run, for a picture.

use super::log::Line;

/// Points of a curve: at least so many, where there were as many losses, and less than twice as many; more would not
/// be seen.
const POINTS: usize = 1000;

/// The losses of a run, thinned as they come: it keeps no more of a long run than of a short one.
#[derive(Clone, Debug, Default)]
pub struct Curves {
    train: Curve,
    valid: Curve,
    last: u32,
}

impl Curves {
    /// Adds the losses of a line of the log.
    pub fn add(&mut self, line: &Line) {
        self.last = self.last.max(line.step);
        line.loss.iter().for_each(|loss| self.train.add(line.step, *loss));
        line.valid_loss.iter().for_each(|loss| self.valid.add(line.step, *loss));
    }

    /// The last step.
    pub fn last(&self) -> u32 {
        self.last
    }

    /// The losses of training and of validation, in nats, each with its step.
    pub fn points(&self) -> [Vec<(u32, f64)>; 2] {
        [self.train.points(), self.valid.points()]
    }
}

/// A curve of means of equally many neighbours, each where its last one stands.
#[derive(Clone, Debug, Default)]
struct Curve {
    points: Vec<(u32, f64)>,
    /// Losses of a point, less one.
    more: u32,
    /// Losses since the last point: how many, their sum, the last one's step.
    begun: (u32, f64, u32),
}

impl Curve {
    fn add(&mut self, step: u32, loss: f64) {
        self.begun = (self.begun.0 + 1, self.begun.1 + loss, step);
        if self.begun.0 <= self.more {
            return;
        }
        let (count, sum, step) = std::mem::take(&mut self.begun);
        self.points.push((step, sum / f64::from(count)));
        if self.points.len() == 2 * POINTS {
            self.points = self.points.chunks(2).map(|two| (two[1].0, two[0].1.midpoint(two[1].1))).collect();
            self.more = 2 * self.more + 1;
        }
    }

    fn points(&self) -> Vec<(u32, f64)> {
        let (count, sum, step) = self.begun;
        let begun = (count > 0).then(|| (step, sum / f64::from(count)));
        self.points.iter().copied().chain(begun).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_the_end_and_the_mean_and_forgets_the_rest() {
        let mut curve = Curve::default();
        (0..9).for_each(|i| curve.add(i, f64::from(i)));
        assert_eq!(curve.points(), (0..9).map(|i| (i, f64::from(i))).collect::<Vec<_>>());
        for i in 9..1_000_001 {
            curve.add(i, f64::from(i));
            assert!(curve.points.len() < 2 * POINTS);
        }
        let points = curve.points();
        assert!(points.len() > POINTS && points.capacity() <= 4 * POINTS, "{}", points.len());
        assert_eq!((points[0], *points.last().unwrap()), ((511, 255.5), (1_000_000, 999_968.0)));
    }
}
