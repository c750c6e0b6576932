//! How tokens are chosen, as it is typed.

use std::str::FromStr;

use clap::Args;
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::generate::Options;
use crate::model::{GenerationConfig, Model, short};
use crate::text::{OnUnknown, Tokenizer};

/// How tokens are chosen. What is not typed comes from the model's generation_config.json, if it has one.
#[derive(Args)]
#[command(next_help_heading = "Sampling")]
pub(super) struct SamplingArgs {
    /// Lower is safer, higher is wilder [default: 0.8]
    ///
    /// Divides the logits; 0 always takes the most likely token.
    #[arg(long, short, value_name = "T", allow_negative_numbers = true)]
    temperature: Option<f32>,

    /// Choose among the K most likely tokens
    ///
    /// 0 for all tokens.
    #[arg(long, value_name = "K", allow_negative_numbers = true)]
    top_k: Option<usize>,

    /// Among the likeliest, of probability P together
    ///
    /// 1 for all tokens.
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    top_p: Option<f32>,

    /// Among those with P times the best one's probability
    ///
    /// At least P times as likely as the likeliest token; 0 for all tokens.
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    min_p: Option<f32>,

    /// Divide positive logits of tokens that occurred by R, multiply negative ones; 1 for none
    #[arg(long, value_name = "R", allow_negative_numbers = true, hide_short_help = true)]
    repetition_penalty: Option<f32>,

    /// Subtract X from the logits of tokens that occurred; 0 for none
    #[arg(long, value_name = "X", allow_negative_numbers = true, hide_short_help = true)]
    presence_penalty: Option<f32>,

    /// Subtract X from a logit for each time that its token occurred; 0 for none
    #[arg(long, value_name = "X", allow_negative_numbers = true, hide_short_help = true)]
    frequency_penalty: Option<f32>,

    /// Never draw this token: its text, or its id
    ///
    /// A number is an id; in double quotes it is text. May be given several times.
    #[arg(long = "ban-token", value_name = "TOKEN", allow_negative_numbers = true)]
    banned: Vec<Token>,
}

/// A token by its id or by its text.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged, expecting = "a token's id or its text")]
pub(super) enum Token {
    Id(u32),
    Text(String),
}

impl FromStr for Token {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Token, String> {
        let is_number = text.strip_prefix('-').unwrap_or(text).bytes().all(|byte| byte.is_ascii_digit());
        match text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(inside) if !inside.is_empty() => Ok(Token::Text(inside.into())),
            _ if text.is_empty() => Err("expected a token".into()),
            _ if is_number && text != "-" => text.parse().map(Token::Id).map_err(|e| e.to_string()),
            _ => Ok(Token::Text(text.into())),
        }
    }
}

impl Token {
    /// Its id.
    pub fn id(&self, model: &Model) -> Result<u32> {
        match self {
            Token::Id(id) => Ok(*id),
            Token::Text(text) => id_of(&model.tokenizer, text),
        }
    }
}

/// The id of a token as the vocabulary or as a text writes it.
fn id_of(tokenizer: &Tokenizer, text: &str) -> Result<u32> {
    let wrong = |why: String| Error::Usage(format!("\"{}\" {why}; expected one token, or its id", short(text)));
    if let Some(id) = tokenizer.id_of(text) {
        return Ok(id);
    }
    match tokenizer.encode(text, OnUnknown::Error).as_deref() {
        Ok([id]) => Ok(*id),
        Ok(ids) => Err(wrong(format!("is {} tokens of the model", ids.len()))),
        Err(_) => Err(wrong("is no token of the model".into())),
    }
}

/// Where neither the command line nor the model says anything.
const TEMPERATURE: f32 = 0.8;

impl SamplingArgs {
    /// What was typed, else what the model's folder says, else the plain values.
    pub fn options(&self, model: &GenerationConfig, of: &Model) -> Result<Options> {
        let banned = self.banned.iter().map(|token| token.id(of).map_err(|e| Error::Usage(format!("--ban-token {e}"))));
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
            banned: banned.collect::<Result<Vec<u32>>>()?.into(),
        };
        options.check(of.config.vocab_size).map_err(|e| Error::Usage(format!("--{e}")))?;
        Ok(options)
    }
}
