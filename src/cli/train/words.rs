//! Messages about a run before its first step and after its last.

use super::arguments::TrainArgs;
use crate::cli::numbers::{count, grouped};
use crate::cli::say;
use crate::host::{Device, Note, Session};
use crate::model::Model;
use crate::train::{Defaults, End, Options, Windows};

/// Says what is to know before the first step.
pub(super) fn say_note(args: &TrainArgs, note: &Note) {
    match note {
        Note::Lacking(lacking, unknown) => crate::cli::say_lacking(lacking, *unknown),
        Note::Memory(need) => say(&format!("memory: {need}")),
        Note::Prepared { model, device, options, learnt, held_out, windows } => {
            announce(model, device, options, (*learnt, *held_out), windows);
        }
        Note::Chosen(choice, tokens) => say_chosen(args, choice, *tokens),
        Note::OtherDevice { before, now } => {
            say(&format!("this run was on {before}; on {now} its numbers will differ in their last digits"));
        }
        Note::GoesOn(step) => say(&format!("goes on after step {}", grouped(*step))),
    }
}

fn say_chosen(args: &TrainArgs, choice: &Defaults, tokens: usize) {
    let chosen = args.chosen(choice);
    if !chosen.is_empty() {
        let (tokens, temperature) = (grouped(tokens as u64), choice.temperature);
        say(&format!("chosen for {tokens} tokens: {chosen}; its texts are drawn at temperature {temperature}"));
    }
}

/// Says what is trained, where, on what and for how long.
fn announce(model: &Model, device: &Device, options: &Options, (learnt, held_out): (usize, usize), windows: &Windows) {
    let c = &model.config;
    let (shapes, aliases) = (c.weight_shapes(), c.aliases());
    let own = shapes.iter().filter(|(name, _)| !aliases.iter().any(|(alias, _)| alias == name));
    let parameters: usize = own.map(|(_, shape)| shape.iter().product::<usize>()).sum();
    let (name, cell, tokens) = (&model.name, c.cell.name(), grouped(c.vocab_size));
    let (layers, hidden, parameters) = (c.num_layers, c.hidden_size, grouped(parameters));
    say(&format!("{name}: {cell} {layers} x {hidden}, {tokens} tokens, {parameters} parameters"));
    say(&format!("on {}", device.name()));
    let what = match &options.corpus {
        corpus if corpus.pairs => "pairs",
        corpus if corpus.lines => "lines",
        _ => "tokens",
    };
    let (learnt, held_out) = (grouped(learnt), grouped(held_out));
    let valid = options.corpus.valid.as_ref().map_or("held out".to_string(), |valid| format!("of {valid} to validate"));
    say(&format!("{}: {learnt} {what} to learn from, {held_out} {valid}", options.corpus.data));
    let end = match (options.end, windows) {
        (End::Steps(steps), _) => count(steps.into(), "step"),
        (End::Epochs(epochs), Windows::Streams(streams)) => {
            let steps = epochs as u128 * streams.windows() as u128;
            format!("{}, {} steps", count(epochs, "epoch"), grouped(steps))
        }
        (End::Epochs(epochs), _) => count(epochs, "epoch"),
    };
    let (rows, time) = (options.batch_size, options.sequence_length);
    say(&format!("{end} of {} of up to {}", count(rows as u64, "row"), count(time as u64, "token")));
}

/// How a run ended.
pub(super) fn report(session: &Session) -> String {
    let (trainer, name) = (session.trainer(), &session.model().name);
    let progress = trainer.progress();
    let why = match (trainer.stopped_early(), trainer.options().patience) {
        (true, Some(patience)) => format!(", as {} got no better", count(patience.into(), "validation")),
        _ => String::new(),
    };
    let mut text = format!("{name}: {}{why}", count(progress.step.into(), "step"));
    if let Some(best) = progress.best {
        let (loss, perplexity) = (best.loss, best.loss.exp());
        text += &format!(
            "\nbest validation {loss:.4} nats per token, perplexity {perplexity:.4}, after step {}",
            best.step
        );
    }
    let command = if trainer.options().corpus.pairs { "translate" } else { "generate" };
    text + &format!("\ngatefold {command} --model {name}\n")
}
