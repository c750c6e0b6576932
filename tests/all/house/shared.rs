//! Constants that WGSL and Rust both write down are the same: the row table, flags, token flags and special numbers. (A
//! kernel's `Params` is compared with its row in structure.rs.)

use std::collections::BTreeMap;

use gatefold::unstable::gpu::ParamsBy;
use gatefold::unstable::ops::activation::Activation;
use gatefold::unstable::ops::recurrent::Extra;
use gatefold::unstable::ops::{CELLS, TABLE, cross_entropy, filters, place_rows, rows};
use gatefold::unstable::plan;
use libtest_mimic::Trial;
use naga::{Expression, Literal, Module, TypeInner};

use crate::context::{DONE, Outcome, project, trial};
use crate::ensure;
use crate::structure::{read, sources};
use crate::wgsl::parse;

/// Numbers that both sides name.
const CONSTANTS: [(&str, u32); 14] = [
    ("FIRST_PART", plan::FIRST_PART),
    ("LAST_PART", plan::LAST_PART),
    ("OUTPUT_CUT", plan::OUTPUT_CUT),
    ("OPERAND_CUT", plan::OPERAND_CUT),
    ("TOP_K", filters::TOP_K),
    ("TOP_P", filters::TOP_P),
    ("MIN_P", filters::MIN_P),
    ("LIMITS", filters::LIMITS),
    ("TOKEN_FLAGS", filters::TOKEN_FLAGS),
    ("BANNED", filters::BANNED),
    ("NO_TOKEN", rows::NO_TOKEN),
    ("IGNORED", cross_entropy::IGNORED),
    ("KEEP_ROW", place_rows::KEEP_ROW),
    ("ZERO_ROW", place_rows::ZERO_ROW),
];

pub fn trials() -> Vec<Trial> {
    vec![
        trial("shared: constants have one value in WGSL and Rust", constants),
        trial("shared: a cell has the same gates in WGSL and Rust", cells),
        trial("shared: the row table has the same fields in WGSL and Rust", row_table),
        trial("shared: no kernel asks for a flag by a number", no_bare_flags),
    ]
}

/// All kernels' modules.
fn modules() -> impl Iterator<Item = Result<(&'static str, Module), String>> {
    let variants = TABLE.iter().flat_map(|op| op.variants);
    variants.map(|variant| Ok((variant.name, parse(variant, ParamsBy::Immediates)?.0)))
}

fn constants() -> Outcome {
    let mut seen = BTreeMap::new();
    for module in modules() {
        let (kernel, module) = module?;
        for (_, constant) in module.constants.iter() {
            let Some((name, expected)) = CONSTANTS.iter().find(|(name, _)| constant.name.as_deref() == Some(name))
            else {
                continue;
            };
            let Expression::Literal(Literal::U32(found)) = module.global_expressions[constant.init] else {
                return Err(format!("{kernel}: {name} is no plain u32").into());
            };
            ensure!(found == *expected, "{kernel}: {name} is {found}, and {expected} in Rust");
            seen.insert(name, kernel);
        }
    }
    let unseen: Vec<_> = CONSTANTS.iter().filter(|(name, _)| !seen.contains_key(name)).collect();
    ensure!(unseen.is_empty(), "in no kernel: {unseen:?}");
    DONE
}

/// The constants that describe a cell, in all its kernels.
fn cells() -> Outcome {
    for cell in CELLS {
        let expected = [
            ("GATES", Literal::U32(cell.gates as u32)),
            ("SPLIT_GATE", Literal::U32(cell.split_gate.unwrap_or(cell.gates) as u32)),
            ("EXTRA_IS_STATE", Literal::Bool(cell.extra == Extra::State)),
            ("BYPASSES_GATES", Literal::Bool(cell.bypasses_gates)),
        ];
        for variant in [cell.step, cell.decode, cell.step_backward].into_iter().flat_map(|op| op.variants) {
            let (module, _) = parse(variant, ParamsBy::Immediates)?;
            for (name, value) in expected {
                let found = constant(&module, name);
                ensure!(found == Some(value), "{}: {name} is {found:?}, and {value:?} in Rust", variant.name);
            }
            let relu = constant(&module, "RELU");
            let right = relu.is_none_or(|word| word == Literal::U32(Activation::Relu.word() as u32));
            ensure!(right, "{}: RELU is {relu:?}", variant.name);
        }
    }
    DONE
}

/// The value of a constant; it may be that of another.
fn constant(module: &Module, name: &str) -> Option<Literal> {
    let (_, constant) = module.constants.iter().find(|(_, constant)| constant.name.as_deref() == Some(name))?;
    let mut init = constant.init;
    loop {
        match module.global_expressions[init] {
            Expression::Literal(literal) => return Some(literal),
            Expression::Constant(other) => init = module.constants[other].init,
            _ => return None,
        }
    }
}

/// Fields of Rust's `Row` with their words: an array is one vector of WGSL, or a field for each element whose names begin
/// alike.
fn row_table() -> Outcome {
    let text = read(&project("src/ops/rows.rs"));
    let body =
        text.split("pub struct Row {").nth(1).and_then(|rest| rest.split("\n}").next()).ok_or("no struct Row")?;
    let fields: Vec<(&str, usize, bool)> = (body.lines())
        .filter_map(|line| line.trim().strip_prefix("pub ")?.strip_suffix(',')?.split_once(": "))
        .map(|(name, ty)| {
            let element = ty.trim_start_matches('[');
            let words = element.split_once("; ").map_or(1, |(_, n)| n.trim_end_matches(']').parse().expect("a length"));
            (name, words, element.starts_with("f32"))
        })
        .collect();
    ensure!(fields.iter().map(|(_, words, _)| words).sum::<usize>() == rows::ROW_WORDS, "fields: {fields:?}");
    let mut compared = 0;
    for module in modules() {
        let (kernel, module) = module?;
        let row = module.types.iter().find(|(_, ty)| ty.name.as_deref() == Some("Row"));
        let Some((_, naga::Type { inner: TypeInner::Struct { members, .. }, .. })) = row else { continue };
        let mut members = members.iter();
        let mut word = 0;
        for (name, words, is_float) in &fields {
            let end = word + words;
            while word < end {
                let member = members.next().ok_or(format!("{kernel}: Row has no {name}"))?;
                let inner = &module.types[member.ty].inner;
                let found = member.name.as_deref().unwrap_or_default();
                let size = inner.size(module.to_ctx()) as usize / 4;
                let whole = size == *words && found == *name;
                let element = size == 1 && *words > 1 && found.starts_with(name);
                let float = inner.scalar_kind() == Some(naga::ScalarKind::Float);
                ensure!(
                    (whole || element) && float == *is_float && member.offset as usize == 4 * word,
                    "{kernel}: {found} stands where Rust has {name} (word {word})"
                );
                word += size;
            }
        }
        ensure!(members.next().is_none(), "{kernel}: Row has more fields than Rust's");
        compared += 1;
    }
    ensure!(compared > 0, "no kernel has a Row");
    DONE
}

fn no_bare_flags() -> Outcome {
    for file in sources(&project("shaders"), "wgsl") {
        for (number, line) in read(&file).lines().enumerate() {
            let masks = line.split("//").next().unwrap_or_default().split('&').collect::<Vec<_>>();
            let bare = masks.windows(2).any(|pair| {
                let [asked, mask] = [pair[0].trim_end(), pair[1].trim_start_matches([' ', '('])];
                let flags = ["flags", "filters"].iter().any(|word| asked.ends_with(word));
                flags && mask.starts_with(|c: char| c.is_ascii_digit())
            });
            ensure!(!bare, "{}:{}: a flag without a name", file.display(), number + 1);
        }
    }
    DONE
}
