//! How likely texts are.

use super::Model;
use crate::error::{Error, Result};
use crate::host;
use crate::text::OnUnknown;

/// How likely a text is to a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// The log-probability in nats of each token that was scored, given all before it: from the second one on, or from the
    /// first where the model has a token that begins texts.
    pub log_probs: Vec<f32>,
    /// Bytes of the tokens that were scored.
    pub bytes: usize,
}

impl Score {
    /// The log-probability of the text, in nats.
    pub fn log_probability(&self) -> f64 {
        self.log_probs.iter().map(|p| f64::from(*p)).sum()
    }

    /// The mean negative log-probability, in nats a token.
    pub fn nats_per_token(&self) -> f64 {
        -self.log_probability() / self.log_probs.len() as f64
    }

    /// e to the nats per token: among how many tokens the model chooses, as it were.
    pub fn perplexity(&self) -> f64 {
        self.nats_per_token().exp()
    }

    /// Bits per byte of text: what compares models with different tokens.
    pub fn bits_per_byte(&self) -> f64 {
        -self.log_probability() / std::f64::consts::LN_2 / self.bytes as f64
    }
}

/// Scores one text of any length.
pub(super) fn text(model: &Model, text: &str) -> Result<Score> {
    let (model, device) = (&*model.model, &model.device.0);
    let ids = model.tokenizer.encode(text, OnUnknown::Error)?;
    let bos = model.config.bos_token_id;
    let mut scorer = host::scorer(model, device)?;
    let mut log_probs = Vec::new();
    scorer.push(&ids, &mut log_probs)?;
    scorer.finish(&mut log_probs)?;
    if log_probs.is_empty() {
        return Err(Error::text("", "no token to score: without a token that begins texts, a text needs two"));
    }
    Ok(Score { log_probs, bytes: scored_bytes(model, text, &ids, bos.is_some())? })
}

/// Scores texts side by side.
pub(super) fn each<T: AsRef<str>>(model: &Model, texts: &[T]) -> Result<Vec<Score>> {
    let (model, device) = (&*model.model, &model.device.0);
    let (bos, eos) = (model.config.bos_token_id, model.eos_ids().first().copied());
    let mut ids = Vec::with_capacity(texts.len());
    let mut bytes = Vec::with_capacity(texts.len());
    for text in texts {
        let of_text = model.tokenizer.encode(text.as_ref(), OnUnknown::Error)?;
        bytes.push(scored_bytes(model, text.as_ref(), &of_text, bos.is_some())?);
        ids.push(Vec::from_iter(bos.into_iter().chain(of_text).chain(eos)));
    }
    let ids: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
    let log_probs = host::line_scorer(model, device)?.score(&ids)?;
    Ok(log_probs.into_iter().zip(bytes).map(|(log_probs, bytes)| Score { log_probs, bytes }).collect())
}

/// Bytes of the tokens that are scored: all but the first one's, where nothing stands before it.
fn scored_bytes(model: &crate::model::Model, text: &str, ids: &[u32], first: bool) -> Result<usize> {
    let unscored = if first { 0 } else { model.tokenizer.decode(&ids[..ids.len().min(1)])?.len() };
    Ok(text.len().saturating_sub(unscored))
}
