//! Reports for people and for other programs: terminal, markdown, CSV.

use super::peers;
use super::report::{Check, KernelLine, Limits, Machine, ProfileLine, Report, Roof, RunLine};
use super::text::{grouped, short, short_with, three_digits, time};
use crate::plan::bytes_in_words;

/// A report's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For a terminal of 80 columns.
    Text,
    /// Tables in markdown.
    Markdown,
    /// One table, comma separated.
    Csv,
    /// All that was measured, for `compare`.
    Json,
    /// A JSON object a line for each job, as other programs' scripts print them; see [`super::peers`].
    Lines,
}

/// A report in a form.
pub fn render(report: &Report, format: Format) -> String {
    match format {
        Format::Text => text(report),
        Format::Markdown => markdown(report),
        Format::Csv => csv(report),
        Format::Json => serde_json::to_string_pretty(report).expect("a report is JSON") + "\n",
        Format::Lines => {
            let line = |line| serde_json::to_string(line).expect("a line is JSON") + "\n";
            peers::lines_of(report).iter().map(line).collect()
        }
    }
}

fn text(report: &Report) -> String {
    let mut text = header(report);
    if let Some(limits) = &report.limits {
        text += "\nlimits\n";
        for (what, figure) in named(limits) {
            text += &format!("  {what:<36} {figure:>14}\n");
        }
    }
    if !report.kernels.is_empty() {
        text += &kernel_header();
    }
    let mut last = String::new();
    for line in &report.kernels {
        let what = format!("{} {}", line.op, line.shape);
        if what != last {
            text += &work_text(&what, line);
            last = what;
        }
        text += &kernel_text(line);
    }
    if !report.kernels.is_empty() {
        text += &footnote(report);
    }
    if !report.runs.is_empty() {
        text += &format!(
            "\n{:<9}{:<9}{:>6}{:>12}{:>7}{:>7}{:>9}{:>10}{:>10}\n",
            "job", "workload", "batch", "tokens/s", "+-", "calls", "host us", "GFLOP/s", "memory"
        );
        report.runs.iter().for_each(|line| text += &run_text(line));
        text += "calls: dispatches of a token of all sequences (generate) or of a window; host us\n\
                 is the host's time for one token, waiting and computing not counted\n";
    }
    kinds(&report.warnings).iter().for_each(|warning| text += &wrapped(&format!("warning: {warning}")));
    text
}

/// Warnings that say the same of several figures as one, with the least and the largest of its number; the other forms
/// have each.
fn kinds(warnings: &[String]) -> Vec<String> {
    let mut kinds: Vec<(String, Vec<&str>)> = Vec::new();
    for warning in warnings {
        let why = warning.split_once(": ").map_or(warning.as_str(), |(_, why)| why);
        let kind: String = why.split(|c: char| c.is_ascii_digit()).filter(|part| !part.is_empty()).collect();
        match kinds.iter_mut().find(|(other, _)| *other == kind) {
            Some((_, all)) => all.push(warning),
            None => kinds.push((kind, vec![warning])),
        }
    }
    kinds.into_iter().map(|(_, all)| of_kind(&all)).collect()
}

fn of_kind(all: &[&str]) -> String {
    let [first, _, ..] = all else { return all.concat() };
    let why = |warning: &&str| warning.split_once(": ").map_or(warning.to_string(), |(_, why)| why.to_string());
    let number = |text: &str| -> Option<u64> {
        let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit());
        digits[..digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len())].parse().ok()
    };
    let numbers: Vec<u64> = all.iter().filter_map(|warning| number(&why(warning))).collect();
    let text = why(first);
    let text = match (numbers.iter().min(), numbers.iter().max(), number(&text)) {
        (Some(least), Some(most), Some(own)) if least < most => {
            text.replacen(&own.to_string(), &format!("{least} to {most}"), 1)
        }
        _ => text,
    };
    match all.len() {
        few @ ..=3 => {
            let names: Vec<&str> = all.iter().filter_map(|warning| Some(warning.split_once(": ")?.0)).collect();
            if names.len() == few { format!("{}: {text}", names.join(", ")) } else { text }
        }
        many => format!("{many} figures: {text}"),
    }
}

/// A text in lines of 80 columns, broken between words; those after the first are indented.
fn wrapped(text: &str) -> String {
    let mut lines = String::new();
    let mut width = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        if width > 0 && width + 1 + length > 80 {
            lines += "\n    ";
            width = 4;
        } else if width > 0 {
            lines.push(' ');
            width += 1;
        }
        lines += word;
        width += length;
    }
    lines + "\n"
}

fn header(report: &Report) -> String {
    let Machine { device, backend, driver, cpu, threads, system, .. } = &report.machine;
    let driver = if driver.is_empty() { String::new() } else { format!(", {driver}") };
    format!(
        "gatefold {}, {}\n{device} ({backend}{driver})\n{cpu}, {threads} threads, {system}\n",
        report.gatefold, report.date
    )
}

fn named(limits: &Limits) -> [(&'static str, String); 7] {
    let rate = |x: f64, unit: &str| format!("{} {unit}", three_digits(x));
    [
        ("copy", rate(limits.copy_gigabytes, "GB/s")),
        ("multiply-add", rate(limits.multiply_add_gflops, "GFLOP/s")),
        ("matrix product (1024 cubed)", rate(limits.matrix_gflops, "GFLOP/s")),
        ("dispatch that waits for another", time(limits.dependent_dispatch_us)),
        ("dispatch that waits for none", time(limits.independent_dispatch_us)),
        ("submission", time(limits.submission_us)),
        ("result on the host", time(limits.readback_us)),
    ]
}

fn kernel_header() -> String {
    format!(
        "\n  {:<20}{:>9}{:>7}{:>8}{:>8}  {:<14}{:>9}\n",
        "kernel", "time", "+-", "GFLOP/s", "GB/s", "of limit", "cold"
    )
}

/// An op with its work, on one line if 80 columns hold it.
fn work_text(what: &str, line: &KernelLine) -> String {
    let work = format!("{}, {}", short_with(line.flops, "FLOP"), short_with(line.bytes, "B"));
    let gap = if what.chars().count() + work.chars().count() + 2 <= 80 { "  " } else { "\n    " };
    format!("{what}{gap}{work}\n")
}

fn kernel_text(line: &KernelLine) -> String {
    let figure = line.figure();
    let mark = if line.chosen { '*' } else { ' ' };
    let cold = line.cold.map_or(String::new(), |cold| time(cold.median_us));
    let wrong = if line.correct { "" } else { "    ITS RESULT IS WRONG\n" };
    // A name that is too long has a line of its own.
    let kernel = if line.kernel.len() <= 20 { line.kernel.clone() } else { format!("{}\n{:22}", line.kernel, "") };
    let text = format!(
        "{mark} {:<20}{:>9}{:>7}{:>8}{:>8}  {:<14}{cold:>9}",
        kernel,
        time(figure.median_us),
        percent(figure.uncertainty()),
        three_digits(line.gflops),
        three_digits(line.gigabytes),
        of_limit(line)
    );
    format!("{}\n{wrong}", text.trim_end())
}

fn of_limit(line: &KernelLine) -> String {
    line.roof.map_or(String::new(), |(roof, share)| format!("{} {}", percent(share), roof_name(roof)))
}

fn roof_name(roof: Roof) -> &'static str {
    match roof {
        Roof::Arithmetic => "compute",
        Roof::Memory => "memory",
        Roof::Dispatch => "dispatch",
    }
}

fn footnote(report: &Report) -> String {
    let mut text = String::from("* what the device takes by itself. ");
    text += if report.machine.timestamps { "Times are the device's own.\n" } else { "Times are wall times.\n" };
    let count = |check| report.kernels.iter().filter(|k| k.correct && k.check == check).count();
    text += &format!(
        "Results agree: {} with the reference, {} with it on few rows, {} with the CPU's\nfunction; {} are wrong.\n",
        count(Check::Reference),
        count(Check::FewRows),
        count(Check::Fast),
        report.kernels.iter().filter(|k| !k.correct).count()
    );
    text
}

fn run_text(line: &RunLine) -> String {
    let mut text = format!(
        "{:<9}{:<9}{:>6}{:>12}{:>7}{:>7}{:>9}{:>10}{:>10}\n",
        line.job,
        line.workload,
        line.batch,
        grouped(line.tokens_per_second),
        percent(line.wall.uncertainty()),
        line.dispatches,
        three_digits(line.host_us_per_token),
        three_digits(line.gflops),
        bytes_in_words(line.memory_bytes),
    );
    if let Some(share) = line.share_of_matrix_rate {
        text += &format!("  {} of the matrix rate", percent(share));
        text += &line.device_us_per_step.map_or(String::new(), |us| format!(", the device works {} a step", time(us)));
        text += "\n";
    }
    line.profile.iter().for_each(|p| text += &profile_text(p));
    if let Some(share) = line.profile_of_wall {
        text += &format!("  these ops, each alone, add up to {} of the run\n", percent(share));
    }
    text
}

fn profile_text(line: &ProfileLine) -> String {
    let ProfileLine { op, shape, count, time_us, share, gflops, gigabytes } = line;
    let (gflops, gigabytes) = (three_digits(*gflops), three_digits(*gigabytes));
    format!(
        "  {:>6}  {op} {shape}\n          {count} x {}, {gflops} GFLOP/s, {gigabytes} GB/s\n",
        percent(*share),
        time(*time_us)
    )
}

/// A share in percent: 3 digits at most.
fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    if percent < 9.95 { format!("{percent:.1} %") } else { format!("{percent:.0} %") }
}

fn markdown(report: &Report) -> String {
    let mut text = header(report).lines().map(|line| format!("{line}  \n")).collect::<String>();
    if let Some(limits) = &report.limits {
        text += "\n| limit | measured |\n|---|--:|\n";
        named(limits).iter().for_each(|(what, figure)| text += &format!("| {what} | {figure} |\n"));
    }
    if !report.kernels.is_empty() {
        text += "\n| op | sizes | flops | bytes | kernel | time | wall | +- | GFLOP/s | GB/s | of limit | cold | result |\n";
        text += "|---|---|--:|--:|---|--:|--:|--:|--:|--:|---|--:|---|\n";
    }
    for line in &report.kernels {
        let figure = line.figure();
        let mark = if line.chosen { " *" } else { "" };
        text += &format!(
            "| {} | {} | {} | {} | {}{mark} | {} | {} | {} | {} | {} | {} | {} | {} |\n",
            line.op,
            line.shape,
            short(line.flops),
            short(line.bytes),
            line.kernel,
            time(figure.median_us),
            time(line.wall.median_us),
            percent(figure.uncertainty()),
            three_digits(line.gflops),
            three_digits(line.gigabytes),
            of_limit(line),
            line.cold.map_or(String::new(), |cold| time(cold.median_us)),
            if line.correct { "ok" } else { "**wrong**" }
        );
    }
    if !report.kernels.is_empty() {
        text += &format!("\n{}", footnote(report));
    }
    if !report.runs.is_empty() {
        text += "\n| job | workload | batch | steps | tokens/s | +- | dispatches | host us/token | device us/step | GFLOP/s | of matrix rate | memory |\n";
        text += "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n";
    }
    for line in &report.runs {
        text += &format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |\n",
            line.job,
            line.workload,
            line.batch,
            line.steps,
            grouped(line.tokens_per_second),
            percent(line.wall.uncertainty()),
            line.dispatches,
            three_digits(line.host_us_per_token),
            line.device_us_per_step.map_or(String::new(), three_digits),
            three_digits(line.gflops),
            line.share_of_matrix_rate.map_or(String::new(), percent),
            bytes_in_words(line.memory_bytes)
        );
    }
    for line in report.runs.iter().filter(|line| !line.profile.is_empty()) {
        text += &format!(
            "\n{} {}, by op{}:\n\n| share | op | sizes | runs | time | GFLOP/s | GB/s |\n",
            line.job,
            line.workload,
            line.profile_of_wall
                .map_or(String::new(), |share| format!(" (alone they add up to {} of the run)", percent(share)))
        );
        text += "|--:|---|---|--:|--:|--:|--:|\n";
        for p in &line.profile {
            text += &format!(
                "| {} | {} | {} | {} | {} | {} | {} |\n",
                percent(p.share),
                p.op,
                p.shape,
                p.count,
                time(p.time_us),
                three_digits(p.gflops),
                three_digits(p.gigabytes)
            );
        }
    }
    let warnings: String = report.warnings.iter().map(|warning| format!("- {warning}\n")).collect();
    if warnings.is_empty() { text } else { format!("{text}\nWarnings:\n\n{warnings}") }
}

fn csv(report: &Report) -> String {
    let mut text = String::from(
        "kind,name,sizes,kernel,median_us,low_us,high_us,runs,flops,bytes,gflops,gigabytes,tokens_per_second\n",
    );
    let mut row = |cells: [String; 13]| text += &(cells.map(|cell| quoted(&cell)).join(",") + "\n");
    for line in &report.kernels {
        let wall = line.device.map(|_| line.wall);
        for (kind, figure) in [("kernel", Some(line.figure())), ("kernel-cold", line.cold), ("kernel-wall", wall)] {
            let Some(figure) = figure else { continue };
            let scale = line.figure().median_us / figure.median_us;
            row([
                kind.into(),
                line.op.clone(),
                line.shape.clone(),
                line.kernel.clone(),
                figure.median_us.to_string(),
                figure.low_us.to_string(),
                figure.high_us.to_string(),
                figure.runs.to_string(),
                line.flops.to_string(),
                line.bytes.to_string(),
                (line.gflops * scale).to_string(),
                (line.gigabytes * scale).to_string(),
                String::new(),
            ]);
        }
    }
    for line in &report.runs {
        row([
            line.job.clone(),
            line.workload.clone(),
            format!("batch={} steps={}", line.batch, line.steps),
            String::new(),
            line.wall.median_us.to_string(),
            line.wall.low_us.to_string(),
            line.wall.high_us.to_string(),
            line.wall.runs.to_string(),
            line.flops.to_string(),
            String::new(),
            line.gflops.to_string(),
            String::new(),
            line.tokens_per_second.to_string(),
        ]);
    }
    text
}

/// A cell, in quotes where a comma, a quote or a line end is part of it.
fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_of_a_kind_are_one() {
        let spread =
            |what: &str, percent: u32| format!("{what}: half of its runs spread over {percent} % of the median");
        let warnings =
            [spread("matmul rows=8", 23), "it is alone".into(), spread("b", 11), spread("c", 40), spread("d", 12)];
        let said = kinds(&warnings);
        assert_eq!(said, ["4 figures: half of its runs spread over 11 to 40 % of the median", "it is alone"]);
        let few = kinds(&[spread("a rows=2", 7), spread("b", 7)]);
        assert_eq!(few, ["a rows=2, b: half of its runs spread over 7 % of the median"]);
    }
}
