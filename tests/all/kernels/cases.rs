//! Every variant and every fast function on every case, against the references in f64.

use gatefold::unstable::check::{all_cases, run_fast, run_kernel};
use gatefold::unstable::cpu::fast_function;
use libtest_mimic::Trial;

use crate::context::{DONE, Opened, gpu, pool, trial, trials_per_adapter};
use crate::ensure;

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (i, (op, case)) in all_cases().enumerate() {
        let name = format!("case: {} {}", op.name, case.name);
        if fast_function(op).is_some() {
            trials.push(trial(format!("{name} on the CPU"), move || {
                let (_, case) = all_cases().nth(i).expect("the table does not change");
                let oracle = case.reference();
                for threads in [1, 2] {
                    let outcome = run_fast(&case, &oracle, pool(threads))?;
                    ensure!(outcome.passes(&case), "{threads} threads: {outcome:?}");
                }
                DONE
            }));
        }
        trials.extend(trials_per_adapter(&name, move |adapter| {
            let (op, case) = all_cases().nth(i).expect("the table does not change");
            let oracle = case.reference();
            let ways = [(Opened::Fully, false), (Opened::Fully, true), (Opened::Floor, false), (Opened::OneMiB, false)];
            for (opened, checked) in ways {
                if case.large && opened == Opened::OneMiB {
                    continue;
                }
                let gpu = gpu(adapter, opened);
                for variant in op.variants.iter().filter(|v| gpu.supports(v)) {
                    let outcome = run_kernel(&gpu, &case, &oracle, op, variant, checked)
                        .map_err(|e| format!("{} {opened:?} checked={checked}: {e}", variant.name))?;
                    ensure!(outcome.passes(&case), "{} {opened:?} checked={checked}: {outcome:?}", variant.name);
                }
            }
            DONE
        }));
    }
    trials
}
