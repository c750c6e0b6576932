//! Steps, validations and the end of a run, one after the other.

use serde::{Deserialize, Serialize};

use super::log::Line;
use super::options::{Cadence, End, MOST_STEPS, Options};
use super::schedule::Schedule;
use super::windows::{Position, Windows};
use super::{Engine, Outcome, Snapshot};
use crate::error::{Error, Result};

/// A mean loss beyond this, in nats, is none that training comes back from: it has diverged, though it is a number yet.
const DIVERGED: f64 = 1e4;

/// Validations of a run, where nobody says how often they come.
pub const VALIDATIONS: f64 = 20.0;

/// The best validation so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Best {
    /// After how many steps.
    pub step: u32,
    /// Its mean loss in nats.
    pub loss: f64,
}

/// Where a run stands, but for the engine: with its snapshot it is all that the rest of the run depends on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Steps that are done.
    pub step: u32,
    /// The next window.
    pub position: Position,
    /// Sums for the next line of the log.
    since_line: Sums,
    /// The best validation.
    pub best: Option<Best>,
    /// The step and loss of the last validation.
    validated: Option<Best>,
    /// Whether a validation is due after the last step.
    validation_due: bool,
    /// Validations since the best one.
    since_best: u32,
    /// Validations since the best one or the last division of the learning rate.
    since_division: u32,
    /// How often the learning rate was divided because validations did not get better.
    divisions: u32,
    /// The learning rate of the last step.
    learning_rate: f32,
    /// Whether the run ended because validations did not get better.
    stopped: bool,
}

impl Progress {
    /// The mean loss since the last line of the log.
    pub fn loss(&self) -> Option<f64> {
        (self.since_line.tokens > 0).then(|| self.since_line.nats / self.since_line.tokens as f64)
    }

    /// Whether a run can stand there; `file` is where it says so, for messages. What the corpus decides is looked at
    /// by [`Trainer::new`].
    ///
    /// # Errors
    /// The first entry that no run can have.
    pub(super) fn check(&self, file: &str) -> Result<()> {
        let (step, sums) = (self.step, self.since_line);
        let wrong = |field: &str, found: String, expected: String| {
            Err(Error::Record { file: file.into(), field: format!("progress.{field}"), found, expected })
        };
        if step > MOST_STEPS {
            return wrong("step", step.to_string(), format!("at most {MOST_STEPS}"));
        }
        let Position { epoch, group, window } = self.position;
        if [epoch, group, window].iter().any(|n| *n > u64::from(step)) {
            return wrong("position", format!("{:?}", self.position), format!("a place within {step} steps"));
        }
        let fine = |sum: f64| sum.is_finite() && sum >= 0.0;
        if sums.steps > step || !fine(sums.nats) || !fine(sums.norms) || (sums.steps == 0) != (sums.tokens == 0) {
            return wrong("since_line", format!("{sums:?}"), format!("sums over at most {step} steps"));
        }
        let possible = |v: &Best| (1..=step).contains(&v.step) && fine(v.loss) && v.loss < DIVERGED;
        let (best, validated) = (self.best.as_ref(), self.validated.as_ref());
        let in_order = match (best, validated) {
            (None, None) => self.since_best == 0,
            (Some(best), Some(last)) => {
                let is_best = best == last && self.since_best == 0;
                let was_better = best.step < last.step && best.loss <= last.loss && self.since_best > 0;
                possible(best) && possible(last) && (is_best || was_better)
            }
            _ => false,
        };
        if !in_order {
            let found = format!("{best:?}, the last {validated:?}, and {} since the best", self.since_best);
            return wrong("best", found, format!("validations in their order, within {step} steps"));
        }
        if self.since_best > step || self.since_division > self.since_best || self.divisions > step {
            let found = format!("{} since the best, {} since a division", self.since_best, self.since_division);
            return wrong("since_best", found, format!("validations in their order, within {step} steps"));
        }
        if !self.learning_rate.is_finite() || self.learning_rate < 0.0 {
            return wrong("learning_rate", self.learning_rate.to_string(), "a number, 0 or more".into());
        }
        Ok(())
    }
}

/// Sums over some steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sums {
    steps: u32,
    nats: f64,
    tokens: u64,
    norms: f64,
}

/// Leads an engine through a corpus.
pub struct Trainer {
    engine: Engine,
    options: Options,
    train: Windows,
    valid: Windows,
    progress: Progress,
}

impl Trainer {
    /// Begins with `snapshot` where `progress` stands: [`Progress::default`] and the first weights, or those of a
    /// checkpoint.
    ///
    /// # Errors
    /// A place that the corpus does not have; as [`Engine::restore`].
    pub fn new(
        mut engine: Engine,
        options: Options,
        (mut train, valid): (Windows, Windows),
        progress: Progress,
        snapshot: &Snapshot,
    ) -> Result<Trainer> {
        if !train.has(&progress.position, progress.step) {
            return Err(Error::Record {
                file: "the checkpoint".into(),
                field: "progress.position".into(),
                found: format!("{:?} after {} steps", progress.position, progress.step),
                expected: "a place of the corpus that as many steps lead to".into(),
            });
        }
        engine.restore(progress.step, snapshot)?;
        let mut trainer = Trainer { engine, options, train, valid, progress };
        if trainer.progress.stopped && trainer.options.patience.is_none_or(|p| trainer.progress.since_best < p) {
            // It was asked for more patience since.
            trainer.progress.stopped = false;
        }
        Ok(trainer)
    }

    /// Where the run stands.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The options of the run.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The share of the run that is done, 0 to 1. It may end before, for want of better validations.
    pub fn share(&self) -> f64 {
        self.share_at(self.progress.step, &self.progress.position)
    }

    fn share_at(&self, step: u32, position: &Position) -> f64 {
        match self.options.end {
            End::Steps(steps) => f64::from(step) / f64::from(steps.max(1)),
            End::Epochs(epochs) => self.train.epochs(position) / epochs.max(1) as f64,
        }
    }

    /// Whether no step is left. A validation may be.
    pub fn is_done(&self) -> bool {
        self.progress.stopped || self.ends_at(self.progress.step, &self.progress.position)
    }

    /// Whether the run ended for want of better validations.
    pub fn stopped_early(&self) -> bool {
        self.progress.stopped
    }

    fn ends_at(&self, step: u32, position: &Position) -> bool {
        match self.options.end {
            End::Steps(steps) => step >= steps,
            End::Epochs(epochs) => position.epoch >= epochs,
        }
    }

    /// Whether a validation must come before the next step.
    pub fn validation_is_due(&self) -> bool {
        let Progress { step, validated, validation_due, .. } = self.progress;
        let done = validated.is_some_and(|v| v.step == step);
        step > 0 && !done && (validation_due || self.is_done())
    }

    /// Whether a line of the log must come before the next step.
    pub fn line_is_due(&self) -> bool {
        let Progress { step, validated, since_line, .. } = self.progress;
        let validated = validated.is_some_and(|v| v.step == step);
        since_line.steps > 0 && (step.is_multiple_of(self.options.log_every) || validated)
    }

    /// Whether a checkpoint belongs after this step, where they are counted in steps.
    pub fn checkpoint_is_due(&self) -> bool {
        matches!(self.options.checkpoint_every, Cadence::Steps(n) if self.progress.step.is_multiple_of(n))
    }

    /// Takes up to `most` steps, and stops where anything is due or the run ends. Gives the number of targets.
    ///
    /// # Errors
    /// A loss or gradient that is no number: the weights are then lost, but for a checkpoint. As the engine.
    pub fn run(&mut self, most: u32) -> Result<u64> {
        assert!(!self.validation_is_due() && !self.is_done());
        let (mut step, mut position, mut rate) = (self.progress.step, self.progress.position, 0.0);
        let end = step + most.min(self.steps_to_pause()).max(1);
        let (mut share, mut validation_due) = (self.share(), false);
        while step < end && !self.ends_at(step, &position) && !validation_due {
            rate = self.options.rate.at(step, share, self.progress.divisions);
            let window = self.train.next(&mut position);
            self.engine.submit(&window, rate)?;
            step += 1;
            let before = std::mem::replace(&mut share, self.share_at(step, &position));
            let part = |share: f64| (share * VALIDATIONS).floor();
            validation_due = match self.options.valid_every {
                Some(every) => step.is_multiple_of(every),
                None => part(share) > part(before),
            };
        }
        let outcomes = self.engine.take()?;
        assert_eq!(outcomes.len() as u32, step - self.progress.step, "an outcome a step");
        let mut tokens = 0;
        for (before, outcome) in (self.progress.step..).zip(&outcomes) {
            self.add(before + 1, outcome)?;
            tokens += u64::from(outcome.tokens);
        }
        (self.progress.step, self.progress.position, self.progress.learning_rate) = (step, position, rate);
        self.progress.validation_due = validation_due;
        Ok(tokens)
    }

    /// Steps to the next one after which something is due.
    fn steps_to_pause(&self) -> u32 {
        let to = |every: u32| every - self.progress.step % every;
        let pause = self.options.valid_every.map_or(u32::MAX, to).min(to(self.options.log_every));
        match self.options.checkpoint_every {
            Cadence::Steps(every) => pause.min(to(every)),
            Cadence::Minutes(_) => pause,
        }
    }

    fn add(&mut self, step: u32, outcome: &Outcome) -> Result<()> {
        let Outcome { loss, gradient_norm, tokens, .. } = *outcome;
        check_loss("loss", f64::from(loss), step)?;
        if !gradient_norm.is_finite() {
            let (what, value) = ("gradient's norm".into(), f64::from(gradient_norm));
            return Err(Error::Diverged { what, value, step });
        }
        let sums = &mut self.progress.since_line;
        sums.steps += 1;
        sums.nats += f64::from(loss) * f64::from(tokens);
        sums.tokens += u64::from(tokens);
        sums.norms += f64::from(gradient_norm);
        Ok(())
    }

    /// Measures the loss on what was held out: `Some(true)` if it is the best so far. Whenever `interrupted` says so,
    /// it is given up, with `None`, and stays due.
    ///
    /// # Errors
    /// A loss that is no number; as the engine.
    pub fn validate(&mut self, interrupted: &dyn Fn() -> bool) -> Result<Option<bool>> {
        let (mut position, valid) = (Position::default(), &mut self.valid);
        let mut windows = std::iter::from_fn(|| {
            let more = position.epoch == 0 && !interrupted();
            more.then(|| Ok(valid.next(&mut position)))
        });
        let (nats, tokens) = self.engine.evaluate(&mut windows)?;
        if position.epoch == 0 {
            return Ok(None);
        }
        let loss = nats / tokens.max(1) as f64;
        let progress = &mut self.progress;
        let step = progress.step;
        check_loss("validation loss", loss, step)?;
        let this = Best { step, loss };
        let improved = progress.best.is_none_or(|best| loss < best.loss);
        (progress.validated, progress.validation_due) = (Some(this), false);
        if improved {
            (progress.best, progress.since_best, progress.since_division) = (Some(this), 0, 0);
        } else {
            progress.since_best += 1;
            progress.since_division += 1;
        }
        if let Schedule::Plateau { patience, .. } = self.options.rate.schedule
            && progress.since_division > patience
        {
            (progress.divisions, progress.since_division) = (progress.divisions + 1, 0);
        }
        progress.stopped = self.options.patience.is_some_and(|patience| progress.since_best >= patience);
        Ok(Some(improved))
    }

    /// The line of the log that is due. The next one begins after it.
    pub fn line(&mut self, tokens_per_second: f64) -> Line {
        let loss = self.progress.loss();
        let progress = &mut self.progress;
        let sums = std::mem::take(&mut progress.since_line);
        let valid_loss = progress.validated.filter(|v| v.step == progress.step).map(|v| v.loss);
        Line {
            step: progress.step,
            epoch: self.train.epochs(&progress.position),
            loss,
            valid_loss,
            perplexity: valid_loss.map(f64::exp),
            learning_rate: progress.learning_rate,
            gradient_norm: sums.norms / f64::from(sums.steps.max(1)),
            tokens_per_second,
        }
    }

    /// Weights, moments and states.
    ///
    /// # Errors
    /// As the engine.
    pub fn snapshot(&mut self) -> Result<Snapshot> {
        self.engine.snapshot()
    }
}

fn check_loss(what: &str, loss: f64, step: u32) -> Result<()> {
    if loss.is_finite() && loss < DIVERGED {
        Ok(())
    } else {
        Err(Error::Diverged { what: what.into(), value: loss, step })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::cpu::{CpuExecutor, Functions, Serial};
    use crate::model::Config;
    use crate::network::{Cell, Recipe, Shape, training};
    use crate::train::corpus::tests::{counting, of_lines};
    use crate::train::{Corpus, CorpusOptions, Method, Rate, Unknown, first_weights};

    pub fn options(end: End) -> Options {
        Options {
            corpus: CorpusOptions {
                data: "data.txt".into(),
                valid: None,
                pairs: false,
                lines: false,
                unknown: Unknown::Error,
                valid_tokens: None,
            },
            batch_size: 4,
            sequence_length: 5,
            seed: 3,
            optimizer: Method::Adam,
            weight_decay: 0.0,
            momentum: 0.0,
            clip: None,
            rate: Rate { peak: 0.5, warmup: 3, schedule: Schedule::Cosine { floor: 0.0 } },
            end,
            patience: None,
            valid_every: Some(10),
            log_every: 4,
            f16: false,
            source_length: 1,
            label_smoothing: 0.0,
            checkpoint_every: Cadence::Minutes(5.0),
        }
    }

    fn config() -> Config {
        Config::new(Shape { cell: Cell::Lstm, vocab: 300, embedding: 2, hidden: 3, layers: 1 })
    }

    fn windows(corpus: &Corpus, options: &Options) -> (Windows, Windows) {
        let corpus = corpus.clone().shuffled(options.seed);
        let (train, valid) = corpus.hold_out();
        let new = |part, seed| Windows::new(&corpus, part, options.batch_size, options.sequence_length, seed);
        (new(train, Some(options.seed)), new(valid, None))
    }

    /// An engine of the CPU, on this thread.
    fn engine(recipe: Recipe) -> Engine {
        let training = training(recipe);
        let (sections, sizes) = (Engine::sections(&training), Engine::sizes(&recipe));
        let executor =
            CpuExecutor::new(training.plan.clone(), sizes, &sections, Functions::Fast, std::sync::Arc::new(Serial));
        Engine::new(training, Box::new(executor)).unwrap()
    }

    fn trainer(corpus: &Corpus, options: &Options, progress: Progress, snapshot: &Snapshot) -> Trainer {
        let engine = engine(options.recipe(&config()));
        Trainer::new(engine, options.clone(), windows(corpus, options), progress, snapshot).unwrap()
    }

    /// Runs to the end, or for so many pieces of at most `most` steps.
    fn lead(trainer: &mut Trainer, most: u32, pieces: usize) -> Vec<Line> {
        let mut lines = Vec::new();
        for _ in 0..pieces {
            if trainer.validation_is_due() {
                trainer.validate(&|| false).unwrap().unwrap();
            }
            if trainer.line_is_due() {
                lines.push(trainer.line(0.0));
            }
            if trainer.is_done() {
                break;
            }
            trainer.run(most).unwrap();
        }
        lines
    }

    fn corpora() -> [Corpus; 2] {
        let lines: Vec<Vec<u32>> = (0..200u32).map(|i| (0..2 + i % 9).map(|t| (i * t) % 300).collect()).collect();
        [counting(300), of_lines(&lines)]
    }

    #[test]
    fn a_run_that_goes_on_equals_one_that_never_stopped() {
        for (corpus, end) in corpora().iter().zip([End::Steps(33), End::Epochs(2)]) {
            let options = options(end);
            let first = first_weights(&config(), options.seed, None);
            let mut unbroken = trainer(corpus, &options, Progress::default(), &first);
            let expected = lead(&mut unbroken, 100, usize::MAX);
            assert!(unbroken.is_done() && expected.len() > 8);
            assert_eq!(expected.last().unwrap().valid_loss, Some(unbroken.progress.validated.unwrap().loss));

            let (mut progress, mut snapshot, mut lines) = (Progress::default(), first, Vec::new());
            loop {
                let mut piece = trainer(corpus, &options, progress, &snapshot);
                lines.extend(lead(&mut piece, 3, 2));
                let json = serde_json::to_string(piece.progress()).unwrap();
                (progress, snapshot) = (serde_json::from_str(&json).unwrap(), piece.snapshot().unwrap());
                if piece.is_done() && !piece.validation_is_due() {
                    lines.extend(lead(&mut piece, 1, 1));
                    assert_eq!(piece.progress(), unbroken.progress());
                    break;
                }
            }
            assert_eq!(lines, expected);
            assert_eq!(snapshot, unbroken.snapshot().unwrap());
        }
    }

    #[test]
    fn validations_come_twenty_times_a_run_and_at_its_end() {
        for (corpus, end) in corpora().iter().zip([End::Steps(317), End::Epochs(40)]) {
            let options = Options { valid_every: None, ..options(end) };
            let first = first_weights(&config(), options.seed, None);
            let mut unbroken = trainer(corpus, &options, Progress::default(), &first);
            let lines = lead(&mut unbroken, 7, usize::MAX);
            let last = unbroken.progress.step;
            let at: Vec<u32> = lines.iter().filter(|l| l.valid_loss.is_some()).map(|l| l.step).collect();
            assert_eq!((at.len(), at.last()), (20, Some(&last)), "{at:?}");
            let longest = at.iter().zip([0].iter().chain(&at)).map(|(b, a)| b - a).max().unwrap();
            assert!(longest <= last.div_ceil(20) + 5, "{longest} of {last} steps");
            // A checkpoint between a step and its validation loses none, and none comes twice.
            let (mut progress, mut snapshot, mut again) = (Progress::default(), first, Vec::new());
            while !unbroken.progress.eq(&progress) {
                let mut piece = trainer(corpus, &options, progress, &snapshot);
                let lines = lead(&mut piece, 1, 1);
                again.extend(lines.iter().filter(|l| l.valid_loss.is_some()).map(|l| l.step));
                (progress, snapshot) = (piece.progress().clone(), piece.snapshot().unwrap());
            }
            assert_eq!(again, at);
        }
    }

    #[test]
    fn a_place_that_the_corpus_does_not_have_is_an_error() {
        for corpus in corpora() {
            let options = options(End::Steps(50));
            let first = first_weights(&config(), options.seed, None);
            let mut whole = trainer(&corpus, &options, Progress::default(), &first);
            lead(&mut whole, 100, usize::MAX);
            let right = whole.progress.clone();
            let new = |progress: Progress| {
                let engine = engine(options.recipe(&config()));
                Trainer::new(engine, options.clone(), windows(&corpus, &options), progress, &first)
            };
            assert!(new(right.clone()).is_ok() && right.check("c").is_ok());
            let at = right.position;
            for position in [
                Position { group: at.group + 200, ..at },
                Position { window: at.window + 200, ..at },
                Position { epoch: at.epoch + 60, ..at },
                Position { window: u64::MAX, ..at },
            ] {
                let message = new(Progress { position, ..right.clone() }).err().expect("no such place").to_string();
                assert!(message.contains("`progress.position`"), "{message}");
            }
        }
    }

    #[test]
    fn a_validation_that_was_interrupted_stays_due() {
        let (corpus, options) = (counting(300), options(End::Steps(10)));
        let first = first_weights(&config(), options.seed, None);
        let mut trainer = trainer(&corpus, &options, Progress::default(), &first);
        while !trainer.is_done() {
            trainer.run(100).unwrap();
        }
        assert_eq!(trainer.validate(&|| true).unwrap(), None);
        assert!(trainer.validation_is_due());
        assert_eq!(trainer.validate(&|| false).unwrap(), Some(true));
        assert!(!trainer.validation_is_due() && trainer.line_is_due());
    }

    #[test]
    fn patience_ends_a_run_and_plateaus_divide_the_rate() {
        let corpus = counting(300);
        let mut options = options(End::Steps(1000));
        // Ids of a counting text are never seen again: validation gets worse from the first step on.
        options.patience = Some(3);
        options.rate.schedule = Schedule::Plateau { patience: 1, divisor: 2.0 };
        let mut trainer = trainer(&corpus, &options, Progress::default(), &first_weights(&config(), 1, None));
        let lines = lead(&mut trainer, 100, usize::MAX);
        assert!(trainer.stopped_early() && trainer.is_done());
        assert_eq!((trainer.progress.step, trainer.progress.best.unwrap().step), (40, 10));
        let rates: Vec<f32> = lines.iter().filter(|l| l.valid_loss.is_some()).map(|l| l.learning_rate).collect();
        assert_eq!(rates, [0.5, 0.5, 0.5, 0.25]);
    }

    #[test]
    fn a_loss_that_is_no_number_names_its_step() {
        let (corpus, mut options) = (counting(300), options(End::Steps(50)));
        options.rate = Rate { peak: 1e38, warmup: 0, schedule: Schedule::Constant };
        let mut trainer = trainer(&corpus, &options, Progress::default(), &first_weights(&config(), 1, None));
        let error = loop {
            if let Err(error) = trainer.run(100) {
                break error;
            }
        };
        assert!(matches!(error, Error::Diverged { step: 1.., .. }), "{error}");
    }
}
