//! How many steps a submission takes: drivers kill long ones, people wait for first ones.

/// The time that a submission should take.
const BUDGET_US: u64 = 50_000;

/// Learns from measured submissions how many steps fit the budget.
#[derive(Clone, Debug)]
pub(super) struct Pacer {
    steps: u32,
    most: u32,
}

impl Pacer {
    /// Begins with a single step; never more than `most`.
    pub fn new(most: u32) -> Pacer {
        Pacer { steps: 1, most }
    }

    /// Steps of the next submission.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// Takes in that `steps` steps took this long.
    pub fn observe(&mut self, steps: u32, elapsed_us: u64) {
        let fitting = u64::from(steps) * BUDGET_US / elapsed_us.max(1);
        // At most twice as many: a short measurement may be luck.
        let fitting = u32::try_from(fitting).unwrap_or(u32::MAX).min(self.steps.saturating_mul(2));
        self.steps = fitting.clamp(1, self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn submissions_grow_to_the_budget_and_shrink_back() {
        let mut pacer = Pacer::new(256);
        for _ in 0..10 {
            pacer.observe(pacer.steps(), u64::from(pacer.steps()) * 1_000);
        }
        assert_eq!(pacer.steps(), 50);
        pacer.observe(50, 500_000);
        assert_eq!(pacer.steps(), 5);
        pacer.observe(5, 10_000_000);
        assert_eq!(pacer.steps(), 1);
        for _ in 0..20 {
            pacer.observe(pacer.steps(), 0);
        }
        assert_eq!(pacer.steps(), 256);
    }
}
