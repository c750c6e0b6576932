//! The command line's addition to an error of the library: the options that help, which the library does not know.

use crate::error::{DeviceFault, Error};
use crate::model::short;

/// An error as the command line says it: with the option that helps, where one does.
pub fn explain(error: &Error) -> String {
    let text = match error {
        Error::Option { name, value, expected } => format!("{} {value}: expected {expected}", typed(name)),
        Error::NoDevice { asked, .. } if super::asked_by_environment(asked) => format!("GATEFOLD_DEVICE: {error}"),
        other => other.to_string(),
    };
    match hint(error) {
        // A list of adapters ends in a line of its own.
        Some(hint) if text.contains('\n') => format!("{text}\n{hint}"),
        Some(hint) => format!("{text}; {hint}"),
        None => text,
    }
}

/// The options to type instead.
fn hint(error: &Error) -> Option<String> {
    Some(match error {
        Error::Lacking { unknown_token: Some(token), .. } => {
            format!("--on-unknown unk writes {} there, --on-unknown skip leaves it out", short(token))
        }
        Error::Lacking { .. } => "--on-unknown skip leaves it out".into(),
        Error::NoPrompt { .. } => "--prompt gives one".into(),
        Error::NoToken { role, .. } => format!("--{role} names it"),
        Error::NoDevice { .. } => "--device cpu needs none".into(),
        Error::Device { fault, .. } => match fault {
            DeviceFault::Wrong { .. } => "`gatefold check` tests the kernels".into(),
            DeviceFault::Failed { .. } => return None,
            _ => "--device cpu does without it".into(),
        },
        Error::Memory { rows: None, .. } => "a smaller --batch-size, --sequence-length or --hidden needs less".into(),
        Error::Memory { .. } => "a smaller --batch needs less".into(),
        Error::TooFew { to_validate, .. } => {
            let other = if *to_validate { ", --valid names another text" } else { "" };
            format!("a smaller --batch-size needs fewer{other}")
        }
        Error::Diverged { .. } => "a lower --learning-rate, a longer --warmup or a lower --clip may help".into(),
        Error::Exists { path, is_run: true, .. } => {
            format!("`gatefold train --resume {}` goes on with that run, --overwrite begins anew", path.display())
        }
        Error::Exists { .. } => "--overwrite writes over it".into(),
        Error::NoRun { .. } => "a new run is begun with --data and --output".into(),
        Error::NoCacheFolder => "GATEFOLD_CACHE may name one".into(),
        Error::Model(fault) | Error::Text(fault) => of_option(fault.option?)?.into(),
        _ => return None,
    })
}

/// How the option of a fault is typed, and what it does.
fn of_option(name: &str) -> Option<&'static str> {
    match name {
        "map" => Some(
            "--map NAME= leaves a tensor out that the logits do not depend on, --map NAME=OTHER gives it another name, \
             as embedding.weight or output.weight",
        ),
        "layers" => Some("--layers NAME,NAME,... says their order"),
        "tokenizer" => Some("--tokenizer byte reads any bytes"),
        _ => None,
    }
}

/// The option that sets a field of the library's.
fn typed(name: &str) -> String {
    match name {
        "banned" => "--ban-token".into(),
        name => format!("--{}", name.replace('_', "-")),
    }
}

/// A note of the library's with options as they are typed.
pub fn note(text: &str) -> String {
    ["forget_bias", "activation"]
        .into_iter()
        .fold(text.to_string(), |text, name| text.replace(&format!("`options.{name}`"), &typed(name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Fault;

    #[test]
    fn an_error_gets_the_option_that_helps() {
        let no_device = |adapters: Vec<String>| Error::NoDevice { asked: "7".into(), adapters };
        let folder = || std::path::PathBuf::from("runs/a");
        let range = Error::Option { name: "top_p".into(), value: "1.5".into(), expected: "at most 1".into() };
        let cases = [
            (range, "--top-p 1.5: expected at most 1"),
            (
                no_device(vec!["Llvmpipe (Vulkan)".into()]),
                "there is no adapter with index 7\nadapters here:\n  0  Llvmpipe (Vulkan)\n--device cpu needs none",
            ),
            (
                no_device(Vec::new()),
                "there is no adapter with index 7\nno Vulkan, Metal or DX12 adapter is on this machine\n\
                 --device cpu needs none",
            ),
            (
                Error::Exists { path: folder(), there: folder().join("config.json"), is_run: true },
                "runs/a: runs/a/config.json is there already; `gatefold train --resume runs/a` goes on with that run, \
                 --overwrite begins anew",
            ),
            (
                Error::NoRun { path: folder(), is_folder: false },
                "runs/a: it is not there; a new run is begun with --data and --output",
            ),
            (
                Error::text("a.txt", Fault::from("not UTF-8").on_line(3).helped_by("tokenizer")),
                "a.txt, line 3: not UTF-8; --tokenizer byte reads any bytes",
            ),
            (
                Error::model("a.json", Fault::field("top_p", "is 2").expected("1 at most")),
                "a.json: field `top_p` is 2; expected 1 at most",
            ),
        ];
        for (error, expected) in cases {
            assert_eq!(explain(&error), expected);
        }
    }

    #[test]
    fn a_note_names_the_option_as_it_is_typed() {
        assert_eq!(
            note("1 is added (`options.forget_bias` says otherwise)"),
            "1 is added (--forget-bias says otherwise)"
        );
    }
}
