//! Options for whoever names none: what suits a corpus of this size.

/// Tokens that a run reads, for a model that costs as much a token as [`REFERENCE`]: about 300 seconds of one core.
const TOKENS: f64 = 9.5e6;
/// Multiply-adds a token of the model that [`TOKENS`] is for: an LSTM of 2 x 256 over 65 characters.
const REFERENCE: f64 = 868_608.0;
/// Times that a corpus is read at least; at most a continuous text, and lines.
const LEAST_EPOCHS: f64 = 4.0;
const MOST_EPOCHS: (f64, f64) = (20.0, 10.0);
/// Steps that weights need to come to anything, however little there is to read.
const LEAST_STEPS: usize = 300;

/// The facts about a corpus on which the defaults depend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Tokens of the corpus.
    pub tokens: usize,
    /// How many sequences they are; `None` for one continuous text.
    pub lines: Option<usize>,
    /// Tokens of the vocabulary.
    pub vocab: usize,
}

/// Options that suit a corpus.
///
/// The sizes were found by sweeps over English text of 20 KB to 1 MB and over first names (docs/DECISIONS.md). Little
/// text is learnt by heart soon, so it takes much dropout, small batches that make many steps of an epoch, and few
/// enough epochs; where there is much, the time that a first look may take sets how often it is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Defaults {
    /// Length of each layer's state.
    pub hidden: u32,
    /// Recurrent layers.
    pub layers: u32,
    /// Share of values that are zeroed between layers.
    pub dropout: f32,
    /// Rows that are trained at once.
    pub batch_size: u32,
    /// Tokens of a row in one step.
    pub sequence_length: u32,
    /// The learning rate of Adam, at its highest.
    pub learning_rate: f32,
    /// Steps in which it rises from zero.
    pub warmup: u32,
    /// Times that the corpus is read.
    pub epochs: u64,
    /// The sampling temperature for whoever names none.
    pub temperature: f32,
}

impl Defaults {
    /// Defaults that suit this corpus.
    pub fn of(extent: Extent) -> Defaults {
        let Extent { tokens, lines, vocab } = extent;
        let (hidden, layers) = (256, 2);
        let batch_size = match lines {
            // Each row has a sequence in it, and what is held out fills one batch.
            Some(lines) => power_of_two(lines / 20).min(32),
            None => power_of_two(tokens / 2400).min(32),
        };
        let sequence_length = if lines.is_some() { 100 } else { 64 };
        let steps = match lines {
            Some(lines) => lines / batch_size,
            None => tokens / (batch_size * sequence_length),
        }
        .max(1);
        let affordable = TOKENS * REFERENCE / cost(hidden, vocab) / tokens.max(1) as f64;
        let epochs = affordable.clamp(LEAST_EPOCHS, if lines.is_some() { MOST_EPOCHS.1 } else { MOST_EPOCHS.0 }).round()
            as usize;
        let epochs = epochs.max(LEAST_STEPS.div_ceil(steps));
        Defaults {
            hidden: hidden as u32,
            layers,
            // Lines begin anew again and again, so they are learnt by heart a little sooner.
            dropout: dropout(if lines.is_some() { tokens / 2 } else { tokens }),
            batch_size: batch_size as u32,
            sequence_length: sequence_length as u32,
            learning_rate: if batch_size < 16 || lines.is_some() { 0.002 } else { 0.003 },
            warmup: (steps * epochs / 10).clamp(1, 100) as u32,
            epochs: epochs as u64,
            temperature: if lines.is_some() { 1.0 } else { temperature(tokens) },
        }
    }
}

/// Half of the values where there are 50,000 tokens or fewer, a quarter less for ten times as many.
fn dropout(tokens: usize) -> f32 {
    let share = 0.5 - 0.25 * (tokens.max(1) as f64 / 5e4).log10();
    ((share.clamp(0.0, 0.5) * 20.0).round() / 20.0) as f32
}

/// 0.5 where there are 20,000 tokens or fewer, 0.8 from a million on: a model that has seen little is less often right
/// when it takes risks. Sequences are drawn as the model has them.
fn temperature(tokens: usize) -> f32 {
    let more = 0.3 * (tokens.max(1) as f64 / 2e4).ln() / 50f64.ln();
    ((0.5 + more.clamp(0.0, 0.3)) * 20.0).round() as f32 / 20.0
}

/// The largest one that is no more, at least 1.
fn power_of_two(most: usize) -> usize {
    1 << most.max(1).ilog2()
}

/// Multiply-adds a token of two layers.
fn cost(hidden: usize, vocab: usize) -> f64 {
    let embedding = if vocab > 512 { hidden } else { 64 };
    (4 * hidden * (embedding + hidden) + 8 * hidden * hidden + hidden * vocab) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(tokens: usize) -> Defaults {
        Defaults::of(Extent { tokens, lines: None, vocab: 65 })
    }

    /// The sizes found best, and what they imply for texts in between.
    #[test]
    fn english_text_of_each_size() {
        let found = |c: Defaults| (c.hidden, c.layers, c.dropout, c.batch_size, c.sequence_length, c.epochs);
        assert_eq!(found(text(20_480)), (256, 2, 0.5, 8, 64, 20));
        assert_eq!(found(text(204_800)), (256, 2, 0.35, 32, 64, 20));
        assert_eq!(found(text(1_115_394)), (256, 2, 0.15, 32, 64, 9));
        assert_eq!(found(text(20_000_000)), (256, 2, 0.0, 32, 64, 4));
        assert_eq!((text(20_480).learning_rate, text(204_800).learning_rate), (0.002, 0.003));
        assert_eq!([20_480, 204_800, 1_115_394].map(|tokens| text(tokens).temperature), [0.5, 0.7, 0.8]);
        let names = Defaults::of(Extent { tokens: 292_000, lines: Some(32_033), vocab: 29 });
        assert_eq!(found(names), (256, 2, 0.4, 32, 100, 10));
        // Each token of a large vocabulary costs more.
        let words = Defaults::of(Extent { tokens: 200_000, lines: None, vocab: 10_000 });
        assert_eq!(words.epochs, 11);
    }

    #[test]
    fn however_little_there_is_weights_get_their_steps_and_rows_their_targets() {
        for tokens in (1..2000).chain((2000..3_000_000).step_by(4999)) {
            let Defaults { batch_size, sequence_length, epochs, warmup, dropout, .. } = text(tokens);
            let window = batch_size as usize * sequence_length as usize;
            let steps = (tokens.div_ceil(window)) * epochs as usize;
            assert!(steps >= LEAST_STEPS, "{tokens} tokens: {steps} steps");
            assert!((warmup as usize) < steps && (0.0..=0.5).contains(&dropout));
            // The validation text has more tokens than a batch has rows.
            assert!(batch_size == 1 || tokens / 20 > batch_size as usize, "{tokens} tokens, {batch_size} rows");
            // Less text is read no less often, and less is dropped where there is more.
            let more = text(tokens + tokens / 3 + 1);
            assert!(more.epochs <= epochs && more.dropout <= dropout && more.batch_size >= batch_size, "{tokens}");
        }
        let nothing = Defaults::of(Extent { tokens: 0, lines: Some(0), vocab: 0 });
        assert_eq!((nothing.batch_size, nothing.epochs), (1, 300));
        let most = Defaults::of(Extent { tokens: usize::MAX, lines: Some(usize::MAX), vocab: usize::MAX >> 12 });
        assert_eq!((most.dropout, most.epochs), (0.0, 4));
    }
}
