//! Other people's files, converted and run.

mod import_cases;
mod imported_models;
mod keras;
mod onnx;

use libtest_mimic::Trial;

pub fn trials() -> Vec<Trial> {
    [onnx::trials(), keras::trials(), imported_models::trials(), import_cases::trials()].into_iter().flatten().collect()
}
