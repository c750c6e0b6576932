//! `gatefold devices`.

use std::process::ExitCode;

use clap::Args;

use super::numbers::count;
use crate::error::Result;
use crate::gpu::{DeviceChoice, Kind, choose};
use crate::host;

/// Arguments of `devices`.
#[derive(Args)]
pub(super) struct DevicesArgs {}

pub(super) fn run(_: &DevicesArgs) -> Result<ExitCode> {
    let adapters = host::adapters();
    let auto = choose(&DeviceChoice::Auto, &adapters)?.map(std::ptr::from_ref);
    let mark = |chosen: bool| if chosen { " *" } else { "" };
    let mut text = String::new();
    for (i, adapter) in adapters.iter().enumerate() {
        let info = &adapter.info;
        let kind = match info.kind {
            Kind::Discrete => "discrete GPU",
            Kind::Integrated => "integrated GPU",
            Kind::Other => "GPU",
            Kind::Software => "software, used only when named",
        };
        let chosen = auto == Some(std::ptr::from_ref(adapter));
        text += &format!("{i:>3}  {}{}\n", info.name, mark(chosen));
        text += &format!("     {kind}, {}, {}\n", info.backend, info.driver);
        let mib = |bytes: u64| bytes >> 20;
        text += &format!(
            "     bindings up to {} MiB, workgroups of {} with {} KiB",
            mib(info.max_binding_bytes),
            info.max_invocations,
            info.max_workgroup_bytes >> 10
        );
        if !info.features.is_empty() {
            text += &format!("\n     {}", info.features.join(", "));
        }
        text += "\n";
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    text += &format!("cpu  the CPU, {}{}\n", count(threads as u64, "thread"), mark(auto.is_none()));
    text += "\n* is what --device auto takes.\n";
    super::print(&text)?;
    Ok(ExitCode::SUCCESS)
}
