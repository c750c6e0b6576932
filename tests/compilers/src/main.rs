//! Kernels, as the compiler of a Vulkan driver translates them: `gatefold-compilers compile KERNELS ASSEMBLY`, and
//! `gatefold-compilers table FOLDER [KEPT]`, which joins what it printed for several targets and compares.
//!
//! KERNELS is a folder of SPIR-V files with the entry point `main`, storage buffers in set 0 and 64 bytes of immediates, as
//! gatefold hands them over. Each is compiled on the first device of the first driver, and a line a kernel goes to standard
//! output: its name, the microseconds that it took, and the statistics that the driver gives, `NAME=VALUE` after tabs. The
//! driver's own listing of the machine code is put into ASSEMBLY, one a kernel. `ROBUST=1` asks for robust
//! buffer access, which wgpu asks for too. Nothing runs, so the device may be made up.

mod loops;
mod table;
mod vulkan;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["compile", kernels, assembly] => run(Path::new(kernels), Path::new(assembly)).map(|()| 0),
        ["table", folder] => table::run(Path::new(folder), None),
        ["table", folder, kept] => table::run(Path::new(folder), Some(Path::new(kept))),
        _ => Err("usage: gatefold-compilers compile KERNELS ASSEMBLY | table FOLDER [KEPT]".into()),
    };
    match outcome {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("gatefold-compilers: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(kernels: &Path, assembly: &Path) -> Result<()> {
    let robust = std::env::var_os("ROBUST").is_some_and(|value| value == "1");
    let device = vulkan::Device::open(robust)?;
    println!("# {}, {} robust buffer access", device.name, if robust { "with" } else { "without" });
    let mut files: Vec<PathBuf> = std::fs::read_dir(kernels)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "spv"));
    files.sort();
    if files.is_empty() {
        return Err(format!("{}: there is no .spv file", kernels.display()).into());
    }
    for file in files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        match device.compile(&words(&file)?) {
            Ok(kernel) => {
                let statistics: Vec<String> = kernel.statistics.iter().map(|(n, v)| format!("\t{n}={v}")).collect();
                println!("{name}\tcompile_us={}{}", kernel.compile_us, statistics.concat());
                std::fs::write(assembly.join(&name).with_extension("asm"), kernel.assembly)?;
            }
            Err(error) => println!("{name}\terror={error}"),
        }
    }
    Ok(())
}

fn words(file: &Path) -> Result<Vec<u32>> {
    let bytes = std::fs::read(file)?;
    Ok(bytes.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect())
}
