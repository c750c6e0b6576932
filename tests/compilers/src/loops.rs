//! The inner loop of a kernel in a compiler's listing: which instructions stand in it. AMD's and NVIDIA's listings are
//! read; of others there is a dash.

use std::collections::BTreeMap;

/// Instructions with the places that they jump to.
#[derive(Default)]
struct Listing<'a> {
    instructions: Vec<&'a str>,
    /// From and to, where the jump goes back.
    back: Vec<(usize, usize)>,
}

/// The instructions of the innermost loop with the most multiply-adds, counted by kind; else with the most instructions.
pub fn inner_loop(listing: &str) -> String {
    let (read, kind): (Listing, fn(&str) -> &'static str) =
        if listing.contains("s_endpgm") { (amd(listing), amd_kind) } else { (nvidia(listing), nvidia_kind) };
    let holds =
        |outer: &(usize, usize), inner: &(usize, usize)| outer != inner && outer.1 <= inner.1 && inner.0 <= outer.0;
    let innermost = read.back.iter().filter(|one| !read.back.iter().any(|other| holds(one, other)));
    let counted = innermost.map(|(from, to)| {
        let mut counts = BTreeMap::new();
        for instruction in &read.instructions[*to..=*from] {
            *counts.entry(kind(instruction)).or_insert(0) += 1;
        }
        counts
    });
    let most = counted.max_by_key(|counts: &BTreeMap<&str, u32>| {
        (counts.get("fma").copied().unwrap_or(0), counts.values().sum::<u32>())
    });
    most.map_or("-".into(), |counts| {
        counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>().join(", ")
    })
}

fn amd(listing: &str) -> Listing<'_> {
    let mut read = Listing::default();
    let mut labels = BTreeMap::new();
    for line in listing.lines() {
        if let Some(label) = line.strip_suffix(':').filter(|label| label.starts_with("BB")) {
            labels.insert(label, read.instructions.len());
            continue;
        }
        let instruction = line.split(';').next().unwrap_or_default().trim();
        if !instruction.starts_with(|c: char| c.is_ascii_lowercase()) {
            continue;
        }
        if let Some(target) = instruction.split_whitespace().nth(1).filter(|_| instruction.contains("branch"))
            && let Some(to) = labels.get(target)
        {
            read.back.push((read.instructions.len(), *to));
        }
        read.instructions.push(instruction);
    }
    read
}

fn amd_kind(instruction: &str) -> &'static str {
    let name = instruction.split_whitespace().next().unwrap_or_default();
    let load = |name: &str| match name.rsplit('_').next().unwrap_or_default() {
        "b128" | "dwordx4" | "x4" => "load 128",
        "b96" | "dwordx3" => "load 96",
        "b64" | "dwordx2" => "load 64",
        _ => "load 32",
    };
    match name {
        _ if name.contains("fma") => "fma",
        _ if name.starts_with("ds_load") || name.starts_with("ds_read") => "shared load",
        _ if name.starts_with("ds_") => "shared other",
        _ if name.contains("_load") => load(name),
        _ if name.contains("_store") => "store",
        _ if name.starts_with("s_barrier") => "barrier",
        _ if name.starts_with("s_wait") => "wait",
        _ => "other",
    }
}

fn nvidia(listing: &str) -> Listing<'_> {
    let mut read = Listing::default();
    let mut starts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut block = "";
    for line in listing.lines() {
        if let Some(head) = line.strip_prefix("block") {
            block = head.split_whitespace().nth(1).unwrap_or_default();
            starts.insert(block, read.instructions.len());
        } else if let Some(next) = line.strip_prefix("} -> [") {
            for target in next.trim_end_matches(']').split(',').map(str::trim) {
                // A block that goes to itself or to one before it closes a loop.
                if let Some(to) = starts.get(target)
                    && *to < read.instructions.len()
                    && starts.get(block).is_some_and(|from| from >= to)
                {
                    read.back.push((read.instructions.len() - 1, *to));
                }
            }
        } else {
            let instruction = line.split("//").next().unwrap_or_default().trim();
            if !instruction.is_empty() && !block.is_empty() {
                read.instructions.push(instruction);
            }
        }
    }
    read
}

fn nvidia_kind(instruction: &str) -> &'static str {
    let code = instruction.rsplit(" = ").next().unwrap_or_default().trim_start_matches('@');
    let name = code.split_whitespace().find(|word| !word.contains("p") || word.contains('.')).unwrap_or_default();
    match name {
        _ if name.starts_with("ffma") => "fma",
        _ if name.starts_with("ld.global") || name.starts_with("ldg") => match name {
            _ if name.contains("b128") => "load 128",
            _ if name.contains("b64") => "load 64",
            _ => "load 32",
        },
        _ if name.starts_with("ld.shared") || name.starts_with("lds") => "shared load",
        _ if name.starts_with("st.shared") || name.starts_with("sts") => "shared other",
        _ if name.starts_with("st") => "store",
        _ if name.starts_with("bar") => "barrier",
        _ => "other",
    }
}
