//! What a Vulkan driver's compiler makes of kernels: `gatefold-compilers KERNELS [ASSEMBLY]`.
//!
//! KERNELS is a folder of SPIR-V files with the entry point `main`, storage buffers in set 0 and 64 bytes of immediates, as
//! gatefold hands them over. Each is compiled on the first device of the first driver, and a line a kernel goes to standard
//! output: its name, the microseconds that it took, and the statistics that the driver gives, `NAME=VALUE` behind tabs. With
//! ASSEMBLY the driver's own listing of the machine code is put there, one a kernel. `ROBUST=1` asks for robust
//! buffer access, which wgpu asks for too. Nothing runs, so the device may be made up.

mod vulkan;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let outcome = match &arguments[..] {
        [kernels] => run(kernels, None),
        [kernels, assembly] => run(kernels, Some(assembly)),
        _ => Err("usage: gatefold-compilers KERNELS [ASSEMBLY]".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gatefold-compilers: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(kernels: &Path, assembly: Option<&Path>) -> Result<()> {
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
                if let Some(folder) = assembly {
                    std::fs::write(folder.join(&name).with_extension("asm"), kernel.assembly)?;
                }
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
