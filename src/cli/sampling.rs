//! How tokens are chosen, as it is typed.

use std::str::FromStr;

use clap::Args;
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::front::Options;
use crate::model::{Model, short};
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

impl SamplingArgs {
    /// The typed options, resolved for a model.
    ///
    /// # Errors
    /// A banned token that the model has not.
    pub fn options(&self, model: &Model) -> Result<Options> {
        let banned = self.banned.iter().map(|token| token.id(model));
        Ok(Options {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            presence_penalty: self.presence_penalty,
            frequency_penalty: self.frequency_penalty,
            banned: banned.collect::<Result<_>>().map_err(|e| Error::Usage(format!("--ban-token {e}")))?,
            ..Options::default()
        })
    }
}
