//! `gatefold check`: every kernel on every case against the references, or a network split between two executors.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::DeviceArgs;
use crate::check::{Implementation, Outcome, all_cases, run_fast, run_kernel, run_split};
use crate::cpu::fast_function;
use crate::cpu::{CpuExecutor, Functions, Serial};
use crate::error::{Error, Result};
use crate::executor::{Executor, Run, Values};
use crate::generate;
use crate::host::Device;
use crate::model::Model;
use crate::ops::TABLE;
use crate::plan::{Case, Difference, OpRow, Sizes};
use crate::text::OnUnknown;

/// Arguments of `check`.
#[derive(Args)]
pub(super) struct CheckArgs {
    /// Only ops whose name contains this
    #[arg(long, value_name = "PART")]
    filter: Option<String>,

    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,

    /// Instead of the cases, run the first K ops of the default model with the references and the rest on the
    /// device, then the other way round: a wrong kernel shows at the K where the difference appears
    #[arg(long, value_name = "K", conflicts_with_all = ["filter", "json"])]
    split: Option<usize>,

    /// Instead of the cases, print a kernel's WGSL as the device gets it, put together from its files
    #[arg(long, value_name = "KERNEL", conflicts_with_all = ["filter", "json", "split"])]
    wgsl: Option<String>,

    #[command(flatten)]
    device: DeviceArgs,
}

/// The results of a kernel or function on all cases of its op.
#[derive(Serialize)]
struct Line {
    op: &'static str,
    implementation: &'static str,
    order: String,
    cases: usize,
    failed: usize,
    supported: bool,
    /// Worst normalised mean squared difference.
    nmse: f64,
    /// Worst largest difference over root mean square.
    max_over_rms: f64,
    /// The misses, by case.
    misses: Vec<String>,
}

#[derive(Serialize)]
struct Report {
    gatefold: &'static str,
    device: String,
    passed: usize,
    failed: usize,
    unsupported: usize,
    lines: Vec<Line>,
}

pub(super) fn run(args: &CheckArgs) -> Result<ExitCode> {
    if let Some(kernel) = &args.wgsl {
        return print_wgsl(kernel);
    }
    let device = args.device.open()?;
    if let Some(k) = args.split {
        return split(&device, k);
    }
    let wanted = |op: &&&OpRow| args.filter.as_ref().is_none_or(|part| op.name.contains(part));
    let ops: Vec<&OpRow> = TABLE.iter().filter(wanted).copied().collect();
    if ops.is_empty() {
        let names: Vec<_> = TABLE.iter().map(|op| op.name).collect();
        return Err(Error::Usage(format!("no op matches the filter; there are {}", names.join(", "))));
    }
    let mut report = Report {
        gatefold: env!("CARGO_PKG_VERSION"),
        device: device.name(),
        passed: 0,
        failed: 0,
        unsupported: 0,
        lines: Vec::new(),
    };
    if !args.json {
        super::print(&format!("{}\n\n{}", report.device, header()))?;
    }
    for op in ops {
        for line in check_op(&device, op)? {
            report.passed += line.cases - line.failed;
            report.failed += line.failed;
            report.unsupported += usize::from(!line.supported);
            if !args.json {
                super::print(&render(&line))?;
            }
            report.lines.push(line);
        }
    }
    let Report { passed, failed, unsupported, .. } = report;
    if args.json {
        let json = serde_json::to_string_pretty(&report).expect("a report is JSON");
        super::print(&(json + "\n"))?;
    } else {
        super::print(&format!("\n{passed} passed, {failed} failed, {unsupported} kernels not supported here\n"))?;
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints the whole text of a kernel; a comment before each file says where it stands.
fn print_wgsl(kernel: &str) -> Result<ExitCode> {
    let variants = || TABLE.iter().flat_map(|op| op.variants);
    let Some(variant) = variants().find(|variant| variant.name == kernel) else {
        let names: Vec<_> = variants().map(|variant| variant.name).collect();
        return Err(Error::Usage(format!("--wgsl {kernel}: no kernel has this name; there are {}", names.join(", "))));
    };
    for file in variant.files {
        super::print(&format!("// shaders/{}.wgsl\n{}\n", file.path, file.text))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// All implementations of an op that the device has, on all its cases.
fn check_op(device: &Device, op: &'static OpRow) -> Result<Vec<Line>> {
    let implementations: Vec<Implementation> = match device {
        Device::Cpu(_) => fast_function(op).iter().map(|_| Implementation::Fast).collect(),
        Device::Gpu(_) => op.variants.iter().map(Implementation::Kernel).collect(),
    };
    let mut lines: Vec<Line> = implementations.iter().map(|i| empty_line(device, op, i)).collect();
    for (_, case) in all_cases().filter(|(o, _)| o.name == op.name) {
        let oracle = case.reference();
        for (line, implementation) in lines.iter_mut().zip(&implementations).filter(|(line, _)| line.supported) {
            let outcome = match (device, implementation) {
                (Device::Cpu(threads), _) => run_fast(&case, &oracle, threads.clone())?,
                (Device::Gpu(gpu), Implementation::Kernel(v)) => run_kernel(gpu, &case, &oracle, op, v, false)?,
                (Device::Gpu(_), Implementation::Fast) => unreachable!("GPUs run kernels"),
            };
            add(line, &case, &outcome);
        }
    }
    Ok(lines)
}

fn empty_line(device: &Device, op: &'static OpRow, implementation: &Implementation) -> Line {
    let (order, supported) = match (device, implementation) {
        (Device::Gpu(gpu), Implementation::Kernel(v)) => (v.class.to_string(), gpu.supports(v)),
        _ => (fast_function(op).map_or(String::new(), |f| f.class.to_string()), true),
    };
    Line {
        op: op.name,
        implementation: implementation.name(),
        order,
        cases: 0,
        failed: 0,
        supported,
        nmse: 0.0,
        max_over_rms: 0.0,
        misses: Vec::new(),
    }
}

fn add(line: &mut Line, case: &Case, outcome: &Outcome) {
    line.cases += 1;
    line.nmse = line.nmse.max(outcome.difference.nmse);
    line.max_over_rms = line.max_over_rms.max(outcome.difference.max_over_rms);
    if !outcome.passes(case) {
        line.failed += 1;
        line.misses.push(format!("{}: {}", case.name, reason(outcome)));
    }
}

fn reason(outcome: &Outcome) -> String {
    let Difference { nmse, max_over_rms, not_finite } = outcome.difference;
    if let Some(mismatch) = &outcome.mismatch {
        mismatch.clone()
    } else if outcome.guard_hit {
        "memory after a buffer was written".into()
    } else if not_finite {
        "a result is NaN or infinite".into()
    } else {
        format!("nmse {nmse:.1e}, max/rms {max_over_rms:.1e}")
    }
}

fn header() -> String {
    format!("{:<16} {:<20} {:<9} {:>5} {:>8} {:>8}\n", "op", "kernel", "order", "cases", "nmse", "max/rms")
}

fn render(line: &Line) -> String {
    let Line { op, implementation, order, cases, nmse, max_over_rms, .. } = line;
    if !line.supported {
        return format!("{op:<16} {implementation:<20} {order:<9} not supported on this device\n");
    }
    let verdict = if line.failed == 0 { "ok".to_string() } else { format!("{} MISSED", line.failed) };
    let mut text =
        format!("{op:<16} {implementation:<20} {order:<9} {cases:>5} {nmse:>8.1e} {max_over_rms:>8.1e}  {verdict}\n");
    for miss in &line.misses {
        text += &format!("    {miss}\n");
    }
    text
}

/// The window of the default model that `--split` runs: tokens, then log-probabilities of all next tokens.
const SPLIT_SIZES: Sizes = Sizes::of(2, 12);

fn split(device: &Device, k: usize) -> Result<ExitCode> {
    let model = Model::shakespeare()?;
    let lm = generate::plan(model.shape, 0);
    let run = Run::new(lm.logits, SPLIT_SIZES, 0..1);
    let instances = lm.plan.instances(lm.logits, SPLIT_SIZES, 0);
    if k > instances.len() {
        let most = instances.len();
        return Err(Error::Usage(format!("--split {k}: the network runs {most} ops; expected 0 to {most}")));
    }
    let ids =
        model.tokenizer.encode("First Citizen:\nBefore we proceed any further, hear me speak.", OnUnknown::Error)?;
    let new = |on_device: bool| -> Result<Box<dyn Executor>> {
        let mut executor: Box<dyn Executor> = if on_device {
            device.executor(&lm.plan, SPLIT_SIZES, &[lm.logits])?
        } else {
            let (plan, functions) = (lm.plan.clone(), Functions::Reference);
            Box::new(CpuExecutor::new(plan, SPLIT_SIZES, &[lm.logits], functions, Arc::new(Serial)))
        };
        model.weights.load_into(&mut *executor)?;
        let input = &ids[..SPLIT_SIZES.rows * SPLIT_SIZES.time];
        executor.write(lm.input, 0, Values::U32(input))?;
        Ok(executor)
    };
    let read = |executor: &mut dyn Executor, runs: &[Run]| -> Result<Vec<f32>> {
        let ticket = executor.submit(runs, &[lm.all_log_probs])?;
        Ok(executor.wait(ticket)?[0].real().to_vec())
    };
    let expected: Vec<f64> = read(&mut *new(false)?, std::slice::from_ref(&run))?.into_iter().map(f64::from).collect();
    let nodes = lm.plan.ops(lm.logits);
    let name = |i: usize| instances.get(i).map_or("the end", |at| nodes[at.node].op.name);
    super::print(&format!("{} ops, cut before op {k} ({})\n", instances.len(), name(k)))?;
    let mut failed = false;
    for device_last in [true, false] {
        let (mut first, mut second) = (new(!device_last)?, new(device_last)?);
        run_split(&mut *first, &mut *second, &run, k)?;
        let difference = Difference::of(&read(&mut *second, &[])?, &expected);
        let ok = difference.within(crate::plan::Caps::F32);
        failed |= !ok;
        let (first, second) = (first.device(), second.device());
        let verdict = if ok { "ok" } else { "MISSED" };
        super::print(&format!("{first}, then {second}: max/rms {:.1e}  {verdict}\n", difference.max_over_rms))?;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
