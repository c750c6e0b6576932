//! Cases written down for a browser: with `GATEFOLD_EXPORT=DIR`, a trial a case writes what the kernels bind and
//! dispatch at WebGPU's floor, and the reference's numbers. tests/portability/web runs them in Chromium.

use gatefold::unstable::check::all_cases;
use gatefold::unstable::executor::{Executor, Run, Values};
use gatefold::unstable::gpu::{BufferRange, GpuExecutor, GpuOptions, ParamsBy, Recording, assemble};
use gatefold::unstable::plan::{Access, Buffer, Case, Element, OpRow, TensorId, Variant};
use libtest_mimic::Trial;
use serde::Serialize;

use crate::context::{DONE, Opened, adapters, export, gpu, trial};
use crate::ensure;

/// A case of one kernel, beside a file of the words that it names.
#[derive(Serialize)]
struct Exported {
    name: String,
    variant: &'static str,
    wgsl: String,
    /// For each binding of group 0: whether it is only read.
    read_only: Vec<bool>,
    /// Words of each buffer; their contents stand one after another in the file.
    buffers: Vec<usize>,
    dispatches: Vec<Dispatched>,
    outputs: Vec<Output>,
    nmse: f64,
    max_over_rms: f64,
}

#[derive(Serialize)]
struct Dispatched {
    bindings: Vec<Range>,
    words: Vec<u32>,
    groups: [u32; 3],
}

#[derive(Serialize)]
struct Range {
    buffer: usize,
    offset: u64,
    bytes: u64,
}

impl From<BufferRange> for Range {
    fn from(place: BufferRange) -> Range {
        Range { buffer: place.buffer, offset: place.offset, bytes: place.bytes }
    }
}

/// A tensor that the case writes: where its parts lie. For each part the file holds, after the buffers, the expected
/// words and then as many words that are 1 where there is something to compare and 0 in paddings.
#[derive(Serialize)]
struct Output {
    tensor: String,
    float: bool,
    parts: Vec<(Range, usize)>,
}

pub fn trials() -> Vec<Trial> {
    if std::env::var_os("GATEFOLD_EXPORT").is_none() {
        return Vec::new();
    }
    let export_case = |(i, (op, case)): (usize, (&'static OpRow, Case))| {
        trial(format!("export: {} {}", op.name, case.name), move || {
            ensure!(!adapters().is_empty(), "no Vulkan, Metal or DX12 adapter lays out the buffers");
            let (op, case) = all_cases().nth(i).expect("the table does not change");
            let floor = gpu(0, Opened::Floor);
            for (j, variant) in op.variants.iter().enumerate().filter(|(_, v)| floor.supports(v)) {
                write(&format!("{i:04}-{j}"), op, &case, variant)?;
            }
            DONE
        })
    };
    all_cases().enumerate().map(export_case).collect()
}

fn write(file: &str, op: &'static OpRow, case: &Case, variant: &'static Variant) -> Result<(), String> {
    let failed = |e: gatefold::Error| e.to_string();
    let forced = [(op.name.to_string(), variant.name.to_string())].into();
    let options = GpuOptions { forced, ..Default::default() };
    let section = case.plan.section("case").expect("a case has its section");
    let mut executor =
        GpuExecutor::new(gpu(0, Opened::Floor), case.plan.clone(), case.sizes, &[section], &options).map_err(failed)?;
    for id in case.plan.ids() {
        let written = match case.plan.tensor(id).element {
            Element::F32 => executor.write(id, 0, Values::F32(&case.floats(id))),
            Element::U32 => executor.write(id, 0, Values::U32(&case.words(id))),
        };
        written.map_err(failed)?;
    }
    let run = Run::new(section, case.sizes, case.step..case.step + 1);
    let mut recording = executor.record(&run).map_err(failed)?;
    let oracle = case.reference();
    let mut words: Vec<u32> = recording.buffers.concat();
    let mut outputs = Vec::new();
    for node in case.plan.ops(section) {
        for (id, operand) in node.operands.iter().zip(node.op.operands) {
            if operand.access == Access::Write {
                outputs.push(output(&executor, &mut recording, case, *id, oracle.tensor(*id), &mut words));
            }
        }
    }
    let exported = Exported {
        name: format!("{} {}", variant.name, case.name),
        variant: variant.name,
        wgsl: assemble(variant.files, ParamsBy::Uniform),
        read_only: read_only(op),
        buffers: recording.buffers.iter().map(Vec::len).collect(),
        dispatches: recording.dispatches.into_iter().map(dispatched).collect(),
        outputs,
        nmse: case.caps.nmse,
        max_over_rms: case.caps.max_over_rms,
    };
    export(&format!("{file}.json"), &serde_json::to_vec(&exported).expect("plain data"))?;
    export(&format!("{file}.bin"), &words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>())
}

fn dispatched(dispatch: gatefold::unstable::gpu::RecordedDispatch) -> Dispatched {
    Dispatched {
        bindings: dispatch.bindings.into_iter().map(Range::from).collect(),
        words: dispatch.words.to_vec(),
        groups: dispatch.groups,
    }
}

fn read_only(op: &OpRow) -> Vec<bool> {
    let carry = (op.carry_words > 0).then_some(false);
    op.operands.iter().map(|o| o.access == Access::Read).chain(carry).collect()
}

fn output(
    executor: &GpuExecutor,
    recording: &mut Recording,
    case: &Case,
    id: TensorId,
    expected: &Buffer<f64>,
    words: &mut Vec<u32>,
) -> Output {
    let (expected, float): (Vec<u32>, bool) = match expected {
        Buffer::Real(v) => (v.iter().map(|x| (*x as f32).to_bits()).collect(), true),
        Buffer::Word(v) => (v.clone(), false),
    };
    let there = executor.place(recording, id, &vec![1; expected.len()]);
    let parts = executor.place(recording, id, &expected).into_iter().zip(there).map(|((place, part), (_, there))| {
        words.extend(&part);
        words.extend(&there);
        (place.into(), part.len())
    });
    Output { tensor: case.plan.tensor(id).name.clone(), float, parts: parts.collect() }
}
