//! The windows of a corpus that training steps read, for a batch of rows.
//!
//! A window depends on the corpus, the sizes, the seed and the [`Position`] alone, so a run goes on from any place
//! without reading what came before.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::corpus::{Corpus, Ids};
use super::groups::Groups;
use super::pair_windows::PairWindows;
use super::{IGNORED, Window};

/// The position of the next window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Times that the whole corpus was read.
    pub epoch: u64,
    /// Batches of sequences of this epoch that are done; a continuous text is one.
    pub group: u64,
    /// Windows of this group that are done.
    pub window: u64,
}

/// The windows of a part of a corpus, epoch by epoch. In each epoch every id but the first of each text or sequence is
/// a target once.
#[derive(Clone, Debug)]
pub enum Windows {
    /// Of one continuous text.
    Streams(Streams),
    /// Of many sequences.
    Lines(Box<Lines>),
    /// Of pairs.
    Pairs(Box<PairWindows>),
}

impl Windows {
    /// Windows of `rows` rows (B) and at most `time` steps (T). Sequences are shuffled by the seed, in another order
    /// each epoch. Without one the windows are to measure by: sequences keep their order, but for those of similar
    /// length that share a window, and the streams of a continuous text are warm where they begin.
    ///
    /// Each row must have a target: see [`Windows::rows_at_most`].
    pub fn new(corpus: &Corpus, part: Range<usize>, rows: usize, time: usize, seed: Option<u64>) -> Windows {
        assert!(rows > 0 && time > 0 && part.end <= corpus.len());
        match &corpus.ends {
            None => Windows::Streams(Streams::new(corpus.ids.clone(), part, rows, time, seed.is_none())),
            Some(_) => Windows::Lines(Box::new(Lines::new(corpus.clone(), part, rows, time, seed))),
        }
    }

    /// Rows that a part of a corpus has work for.
    pub fn rows_at_most(corpus: &Corpus, part: &Range<usize>) -> usize {
        match &corpus.ends {
            None => part.len().saturating_sub(1),
            Some(_) => part.len(),
        }
    }

    /// The window at a position, which moves on to the one after it.
    pub fn next(&mut self, position: &mut Position) -> Window {
        match self {
            Windows::Streams(streams) => streams.next(position),
            Windows::Lines(lines) => lines.next(position),
            Windows::Pairs(pairs) => pairs.next(position),
        }
    }

    /// Whether so many steps from the beginning can lead to a position.
    pub fn has(&mut self, position: &Position, steps: u32) -> bool {
        let Position { epoch, group, window } = *position;
        let steps = u128::from(steps);
        match self {
            Windows::Streams(s) => {
                let windows = s.windows() as u128;
                let done = u128::from(epoch) * windows + u128::from(window);
                group == 0 && u128::from(window) < windows && done == steps
            }
            Windows::Lines(l) => {
                // A group takes one window or more.
                let groups = u128::from(epoch) * l.groups() as u128 + u128::from(group);
                group < l.groups() as u64
                    && groups + u128::from(window) <= steps
                    && window.saturating_mul(l.time as u64) < l.longest(epoch, group) as u64
            }
            Windows::Pairs(p) => {
                let groups = p.groups() as u128;
                let done = u128::from(epoch) * groups + u128::from(group);
                window == 0 && u128::from(group) < groups && done == steps
            }
        }
    }

    /// How often the corpus was read, the begun epoch as its share.
    pub fn epochs(&self, position: &Position) -> f64 {
        let share = match self {
            Windows::Streams(s) => position.window as f64 / s.windows() as f64,
            Windows::Lines(l) => (position.group as f64 / l.groups() as f64).min(1.0),
            Windows::Pairs(p) => position.group as f64 / p.groups() as f64,
        };
        position.epoch as f64 + share
    }
}

/// A continuous text, cut into a stream for each row. The rows' states are carried from window to window, and start
/// from zero with each epoch.
#[derive(Clone, Debug)]
pub struct Streams {
    ids: Ids,
    first: usize,
    targets: usize,
    rows: usize,
    time: usize,
    /// Ids before its stream that a row reads without being asked for them.
    warm: usize,
}

impl Streams {
    fn new(ids: Ids, part: Range<usize>, rows: usize, time: usize, warm: bool) -> Streams {
        assert!(rows < part.len(), "{rows} rows for {} ids", part.len());
        let targets = part.len() - 1;
        // The second row's stream begins where the first one's ends, and no other has less before it.
        let warm = if warm && rows > 1 { time.min(targets / rows) } else { 0 };
        Streams { ids, first: part.start, targets, rows, time, warm }
    }

    /// Targets of the longest streams.
    fn longest(&self) -> usize {
        self.targets.div_ceil(self.rows)
    }

    /// Windows of an epoch.
    pub fn windows(&self) -> usize {
        usize::from(self.warm > 0) + self.longest().div_ceil(self.time)
    }

    /// The place of a row's first id.
    fn begin(&self, row: usize) -> usize {
        // The first streams have one target more than the others.
        self.first + row * (self.targets / self.rows) + row.min(self.targets % self.rows)
    }

    fn next(&self, position: &mut Position) -> Window {
        let warmed = usize::from(self.warm > 0);
        let at = position.window as usize;
        position.window += 1;
        if position.window as usize == self.windows() {
            *position = Position { epoch: position.epoch + 1, group: 0, window: 0 };
        }
        if at < warmed {
            return self.warm_up();
        }
        let from = (at - warmed) * self.time;
        let time = self.time.min(self.longest() - from);
        let starts = (0..self.rows).map(|row| at == warmed && (row == 0 || warmed == 0)).collect();
        let mut window = Window::padding(time, starts);
        let (length, longer) = (self.targets / self.rows, self.targets % self.rows);
        for row in 0..self.rows {
            let begin = self.begin(row) + from;
            let targets = (length + usize::from(row < longer)).saturating_sub(from).min(time);
            window.fill(row, targets, |i| self.ids.get(begin + i));
        }
        window
    }

    /// The window before each stream but the first, read for its states alone.
    fn warm_up(&self) -> Window {
        let mut window = Window::padding(self.warm, vec![true; self.rows]);
        for row in 1..self.rows {
            let begin = self.begin(row) - self.warm;
            window.fill(row, self.warm, |i| self.ids.get(begin + i));
        }
        window.targets.fill(IGNORED);
        window
    }
}

/// Sequences: a group of them, one a row, is read from its beginning to its end in as many windows as its longest
/// one takes, then the next group. A group to learn from is a random one of all sequences: groups of similar lengths
/// save padding and teach less. To measure by, sequences of similar length make a group.
#[derive(Clone, Debug)]
pub struct Lines {
    corpus: Corpus,
    time: usize,
    groups: Groups,
}

impl Lines {
    fn new(corpus: Corpus, part: Range<usize>, rows: usize, time: usize, seed: Option<u64>) -> Lines {
        Lines { corpus, time, groups: Groups::new(part, rows, seed, seed.is_none()) }
    }

    /// Targets of the longest sequence of a group.
    fn longest(&mut self, epoch: u64, group: u64) -> usize {
        let sequences = self.group(epoch, group);
        sequences.iter().map(|i| self.corpus.sequence(*i).len() - 1).max().expect("a group has a sequence")
    }

    fn group(&mut self, epoch: u64, group: u64) -> Vec<usize> {
        self.groups.get(epoch, group, |i| self.corpus.sequence(i).len())
    }

    fn groups(&self) -> usize {
        self.groups.count()
    }

    fn next(&mut self, position: &mut Position) -> Window {
        let (epoch, group) = (position.epoch, position.group);
        let numbers = self.group(epoch, group);
        let sequences: Vec<Range<usize>> = numbers.iter().map(|i| self.corpus.sequence(*i)).collect();
        let longest = sequences.iter().map(|s| s.len() - 1).max().expect("a group has a sequence");
        let from = position.window as usize * self.time;
        let time = self.time.min(longest - from);
        let mut window = Window::padding(time, vec![position.window == 0; self.groups.rows]);
        for (row, sequence) in sequences.iter().enumerate() {
            let targets = (sequence.len() - 1).saturating_sub(from).min(time);
            window.fill(row, targets, |i| self.corpus.ids.get(sequence.start + from + i));
        }
        position.window += 1;
        if from + time == longest {
            *position = Position { epoch, group: group + 1, window: 0 };
        }
        if position.group as usize == self.groups() {
            *position = Position { epoch: epoch + 1, group: 0, window: 0 };
        }
        window
    }
}

impl Window {
    /// A window in which nothing counts.
    pub(super) fn padding(time: usize, starts: Vec<bool>) -> Window {
        let cells = time * starts.len();
        Window { time, input: vec![0; cells], targets: vec![IGNORED; cells], starts, sources: None }
    }

    /// Fills the first steps of a row: `id(i)` is read in step i, and the next one is its target.
    pub(super) fn fill(&mut self, row: usize, targets: usize, id: impl Fn(usize) -> u32) {
        let rows = self.starts.len();
        for step in 0..targets {
            self.input[step * rows + row] = id(step);
            self.targets[step * rows + row] = id(step + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::corpus::tests::{counting, of_lines};

    /// All windows of some epochs.
    fn read(windows: &mut Windows, epochs: u64) -> Vec<Window> {
        let (mut position, mut all) = (Position::default(), Vec::new());
        while position.epoch < epochs {
            all.push(windows.next(&mut position));
        }
        all
    }

    /// The ids that each row reads and is asked for, cut where its state starts from zero.
    fn texts(windows: &[Window]) -> Vec<Vec<u32>> {
        let rows = windows[0].starts.len();
        let mut texts = Vec::new();
        for row in 0..rows {
            let mut text: Vec<u32> = Vec::new();
            for window in windows {
                assert_eq!((window.input.len(), window.targets.len()), (window.time * rows, window.time * rows));
                if window.starts[row] && !text.is_empty() {
                    texts.push(std::mem::take(&mut text));
                }
                let cells = (0..window.time).map(|t| t * rows + row).filter(|at| window.targets[*at] != IGNORED);
                for at in cells {
                    if text.is_empty() {
                        text.push(window.input[at]);
                    }
                    assert_eq!(*text.last().unwrap(), window.input[at], "reads what it was asked for");
                    text.push(window.targets[at]);
                }
            }
            if !text.is_empty() {
                texts.push(text);
            }
        }
        texts
    }

    #[test]
    fn every_id_of_a_text_is_a_target_once_an_epoch() {
        for (len, rows, time) in [(2, 1, 1), (50, 3, 7), (51, 4, 5), (33, 32, 100), (101, 1, 10), (1000, 7, 13)] {
            let corpus = counting(len);
            let windows = read(&mut Windows::new(&corpus, 0..len as usize, rows, time, Some(1)), 2);
            assert!(windows.iter().all(|w| w.time <= time));
            let mut targets: Vec<u32> = windows.iter().flat_map(|w| &w.targets).copied().collect();
            targets.retain(|id| *id != IGNORED);
            targets.sort_unstable();
            let twice: Vec<u32> = (1..len).flat_map(|id| [id, id]).collect();
            assert_eq!(targets, twice, "{len} {rows} {time}");
            // Streams follow each other, twice.
            let mut texts = texts(&windows);
            texts.sort();
            assert_eq!(texts.len(), 2 * rows);
            for pair in texts.chunks(2).collect::<Vec<_>>().windows(2) {
                assert_eq!(pair[0][0].last(), pair[1][0].first());
            }
        }
    }

    #[test]
    fn a_part_of_a_text_is_read_alone() {
        let corpus = counting(100);
        let windows = read(&mut Windows::new(&corpus, 90..100, 2, 4, Some(1)), 1);
        assert_eq!(texts(&windows), [vec![90, 91, 92, 93, 94, 95], vec![95, 96, 97, 98, 99]]);
        assert_eq!(windows.iter().map(|w| w.starts[0]).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn streams_to_measure_by_are_warm() {
        for (len, rows, time) in [(100u32, 3, 7), (101, 4, 50), (43, 32, 5), (50, 1, 7)] {
            let corpus = counting(len);
            let all = read(&mut Windows::new(&corpus, 10..len as usize, rows, time, None), 1);
            let first = if rows > 1 { 1 } else { 0 };
            for row in 0..rows {
                let column = |w: &Window, of: &[u32]| (0..w.time).map(|t| of[t * rows + row]).collect::<Vec<u32>>();
                let warm = (first > 0).then(|| (column(&all[0], &all[0].input), column(&all[0], &all[0].targets)));
                let begin = column(&all[first], &all[first].input)[0];
                assert_eq!(all[first].starts[row], row == 0, "the first row begins as the text does");
                if let Some((input, targets)) = warm {
                    assert!(targets.iter().all(|id| *id == IGNORED) && all[0].starts[row]);
                    let time = input.len() as u32;
                    let before: Vec<u32> =
                        if row == 0 { vec![0; time as usize] } else { (begin - time..begin).collect() };
                    assert_eq!(input, before, "{len} {rows} {time}");
                    assert!(row == 0 || before[0] >= 10, "it reads of its own part alone");
                }
            }
        }
    }

    fn lines() -> Vec<Vec<u32>> {
        (0..300u32).map(|i| (0..2 + i * 7919 % 23).map(|t| i * 100 + t).collect()).collect()
    }

    #[test]
    fn every_sequence_is_read_whole_once_an_epoch_in_another_order() {
        let corpus = of_lines(&lines());
        for (rows, time, seed) in [(4, 100, Some(1)), (4, 5, Some(1)), (1, 3, None), (7, 8, None), (301, 9, Some(2))] {
            let mut windows = Windows::new(&corpus, 0..300, rows, time, seed);
            let all = read(&mut windows, 2);
            assert!(all.iter().all(|w| w.time <= time && w.starts.iter().all(|s| *s == w.starts[0])));
            let mut read = texts(&all);
            read.sort();
            let mut expected = [lines(), lines()].concat();
            expected.sort();
            assert_eq!(read, expected, "{rows} {time}");
            let order: Vec<u32> = all.iter().map(|w| w.input[0]).collect();
            let (first, second) = order.split_at(order.len() / 2);
            assert_eq!(seed.is_none(), first == second, "{rows}: shuffled each epoch");
        }
    }

    #[test]
    fn similar_lengths_save_padding() {
        let corpus = of_lines(&lines());
        let share = |rows| {
            let windows = read(&mut Windows::new(&corpus, 0..300, rows, 100, None), 1);
            let cells: usize = windows.iter().map(|w| w.targets.len()).sum();
            let targets = windows.iter().flat_map(|w| &w.targets).filter(|t| **t != IGNORED).count();
            targets as f64 / cells as f64
        };
        assert!(share(4) > 0.95, "{}", share(4));
    }

    #[test]
    fn a_run_goes_on_from_any_position() {
        for corpus in [of_lines(&lines()), counting(1000)] {
            let new = || Windows::new(&corpus, 0..300, 4, 7, Some(5));
            let (mut windows, mut position) = (new(), Position::default());
            let mut epochs = 0.0;
            for _ in 0..400 {
                let mut at = serde_json::from_str(&serde_json::to_string(&position).unwrap()).unwrap();
                let window = windows.next(&mut position);
                assert_eq!(new().next(&mut at), window);
                assert_eq!(at, position);
                assert!(windows.epochs(&position) >= epochs);
                epochs = windows.epochs(&position);
            }
            assert!(epochs > 1.5);
        }
    }
}
