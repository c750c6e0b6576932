//! How tokens are chosen, as it is typed.

use clap::Args;

use crate::error::{Error, Result};
use crate::generate::Options;
use crate::model::GenerationConfig;

/// How tokens are chosen. What is not typed comes from the model's generation_config.json, if it has one.
#[derive(Args)]
#[command(next_help_heading = "Sampling")]
pub(super) struct SamplingArgs {
    /// Divides the logits: lower is safer, higher is wilder, 0 always takes the most likely token [default: 0.8]
    #[arg(long, short, value_name = "T", allow_negative_numbers = true)]
    temperature: Option<f32>,

    /// Choose among the K most likely tokens; 0 for all
    #[arg(long, value_name = "K", allow_negative_numbers = true)]
    top_k: Option<usize>,

    /// Choose among the most likely tokens that together have probability P; 1 for all
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    top_p: Option<f32>,

    /// Choose among tokens at least P times as likely as the most likely one; 0 for all
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    min_p: Option<f32>,

    /// Divide positive logits of tokens that occurred by R, multiply negative ones; 1 for none
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    repetition_penalty: Option<f32>,

    /// Subtract X from the logits of tokens that occurred; 0 for none
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    presence_penalty: Option<f32>,

    /// Subtract X from a logit for each time that its token occurred; 0 for none
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    frequency_penalty: Option<f32>,

    /// Never draw the token with this id; may be given several times
    #[arg(long = "ban-token", value_name = "ID", allow_negative_numbers = true)]
    banned: Vec<u32>,
}

/// Where neither the command line nor the model says anything.
const TEMPERATURE: f32 = 0.8;

impl SamplingArgs {
    /// What was typed, else what the model's folder says, else the plain values.
    pub fn options(&self, model: &GenerationConfig, vocab: usize) -> Result<Options> {
        let plain = Options::default();
        let greedy = (model.do_sample == Some(false)).then_some(0.0);
        let options = Options {
            temperature: self.temperature.or(greedy).or(model.temperature).unwrap_or(TEMPERATURE),
            top_k: self.top_k.or(model.top_k.map(|k| k as usize)).unwrap_or(plain.top_k),
            top_p: self.top_p.or(model.top_p).unwrap_or(plain.top_p),
            min_p: self.min_p.or(model.min_p).unwrap_or(plain.min_p),
            repetition_penalty: self
                .repetition_penalty
                .or(model.repetition_penalty)
                .unwrap_or(plain.repetition_penalty),
            presence_penalty: self.presence_penalty.or(model.presence_penalty).unwrap_or(plain.presence_penalty),
            frequency_penalty: self.frequency_penalty.or(model.frequency_penalty).unwrap_or(plain.frequency_penalty),
            banned: self.banned.as_slice().into(),
        };
        options.check(vocab).map_err(|e| Error::Usage(format!("--{e}")))?;
        Ok(options)
    }
}
