// Runs exported cases on the browser's WebGPU and compares their outputs with the references' numbers.
// Each case becomes a line that the server prints.

const PARAM_BYTES = 64;
const UNIFORM_STEP = 256;

const say = (message) => fetch("/say", { method: "POST", body: JSON.stringify(message) });

/** How far floats are from the expected ones, where `there` is 1; as `Difference::of` in src/ops/case.rs. */
function difference(found, expected, there) {
  let square = 0, squareDifference = 0, largest = 0, notFinite = false, n = 0;
  for (let i = 0; i < expected.length; i++) {
    if (there[i] === 0) continue;
    n++;
    const f = found[i], e = expected[i];
    if (f === e || (Number.isNaN(f) && Number.isNaN(e))) {
      square += Number.isFinite(e) ? e * e : 0;
      continue;
    }
    notFinite ||= !Number.isFinite(f);
    const apart = Math.abs(f - e);
    square += e * e;
    squareDifference += apart * apart;
    largest = Math.max(largest, apart);
  }
  n = Math.max(n, 1);
  const rms = Math.max(Math.sqrt(square / n), 1e-30);
  return { nmse: squareDifference / n / (rms * rms), maxOverRms: largest / rms, notFinite: notFinite || Number.isNaN(squareDifference) };
}

/** A kernel's pipeline, compiled once. */
async function pipelineOf(device, known, test) {
  const key = test.variant;
  if (known.has(key)) return known.get(key);
  const module = device.createShaderModule({ label: test.variant, code: test.wgsl });
  const errors = (await module.getCompilationInfo()).messages.filter((m) => m.type === "error");
  if (errors.length > 0) throw new Error(errors.map((m) => `line ${m.lineNum}: ${m.message}`).join("; "));
  const entries = test.read_only.map((readOnly, binding) => ({
    binding,
    visibility: GPUShaderStage.COMPUTE,
    buffer: { type: readOnly ? "read-only-storage" : "storage" },
  }));
  const operands = device.createBindGroupLayout({ entries });
  const params = device.createBindGroupLayout({
    entries: [{
      binding: 0,
      visibility: GPUShaderStage.COMPUTE,
      buffer: { type: "uniform", hasDynamicOffset: true, minBindingSize: PARAM_BYTES },
    }],
  });
  const pipeline = await device.createComputePipelineAsync({
    label: test.variant,
    layout: device.createPipelineLayout({ bindGroupLayouts: [operands, params] }),
    compute: { module, entryPoint: "main" },
  });
  const made = { pipeline, operands, params };
  known.set(key, made);
  return made;
}

/** Runs a case; returns each output part's words. */
async function run(device, made, test, words) {
  let at = 0;
  const buffers = test.buffers.map((length) => {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
    const buffer = device.createBuffer({ size: 4 * length, usage });
    device.queue.writeBuffer(buffer, 0, words, at, length);
    at += length;
    return buffer;
  });
  const uniform = device.createBuffer({
    size: UNIFORM_STEP * Math.max(test.dispatches.length, 1),
    usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
  });
  test.dispatches.forEach((d, i) => device.queue.writeBuffer(uniform, UNIFORM_STEP * i, new Uint32Array(d.words)));
  const params = device.createBindGroup({
    layout: made.params,
    entries: [{ binding: 0, resource: { buffer: uniform, size: PARAM_BYTES } }],
  });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(made.pipeline);
  test.dispatches.forEach((d, i) => {
    const entries = d.bindings.map((b, binding) => ({
      binding,
      resource: { buffer: buffers[b.buffer], offset: b.offset, size: b.bytes },
    }));
    pass.setBindGroup(0, device.createBindGroup({ layout: made.operands, entries }));
    pass.setBindGroup(1, params, [UNIFORM_STEP * i]);
    pass.dispatchWorkgroups(...d.groups);
  });
  pass.end();
  const parts = test.outputs.flatMap((output) => output.parts);
  const total = parts.reduce((sum, [, length]) => sum + length, 0);
  const staging = device.createBuffer({ size: 4 * Math.max(total, 1), usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  let to = 0;
  for (const [range, length] of parts) {
    if (length > 0) encoder.copyBufferToBuffer(buffers[range.buffer], range.offset, staging, to, 4 * length);
    to += 4 * length;
  }
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  const found = new Uint32Array(staging.getMappedRange().slice(0));
  for (const buffer of [...buffers, uniform, staging]) buffer.destroy();
  return { found, expectedAt: at };
}

/** What is wrong with a case's outputs; empty if nothing is. */
function compare(test, words, { found, expectedAt }) {
  let from = 0, at = expectedAt;
  const wrong = [];
  for (const output of test.outputs) {
    // The parts of a tensor are compared together, as one tensor.
    const all = { found: [], expected: [], there: [] };
    for (const [, length] of output.parts) {
      all.found.push(found.subarray(from, from + length));
      all.expected.push(words.subarray(at, at + length));
      all.there.push(words.subarray(at + length, at + 2 * length));
      from += length;
      at += 2 * length;
    }
    const joined = (pieces) => {
      const whole = new Uint32Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
      let to = 0;
      for (const piece of pieces) { whole.set(piece, to); to += piece.length; }
      return whole;
    };
    const [f, e, there] = [joined(all.found), joined(all.expected), joined(all.there)];
    if (output.float) {
      const d = difference(new Float32Array(f.buffer), new Float32Array(e.buffer), there);
      if (d.notFinite || d.nmse > test.nmse || d.maxOverRms > test.max_over_rms) {
        wrong.push(`${output.tensor}: nmse ${d.nmse.toExponential(1)}, max/rms ${d.maxOverRms.toExponential(1)}`);
      }
    } else {
      const i = f.findIndex((word, i) => there[i] === 1 && word !== e[i]);
      if (i >= 0) wrong.push(`${output.tensor}[${i}] is ${f[i]}, expected ${e[i]}`);
    }
  }
  return wrong;
}

async function main() {
  if (!navigator.gpu) throw new Error("this browser has no WebGPU");
  const adapter = await navigator.gpu.requestAdapter();
  if (!adapter) throw new Error("this browser has no WebGPU adapter");
  // Nothing is asked for: no feature, every limit at its default.
  const device = await adapter.requestDevice();
  const { vendor, architecture, device: name, description } = adapter.info;
  const words = [vendor, architecture, name, description].filter((word) => word);
  await say({ adapter: words.join(", "), agent: navigator.userAgent });
  const known = new Map();
  for (const name of await (await fetch("/cases")).json()) {
    const test = await (await fetch(`/cases/${name}.json`)).json();
    const words = new Uint32Array(await (await fetch(`/cases/${name}.bin`)).arrayBuffer());
    let wrong;
    device.pushErrorScope("out-of-memory");
    device.pushErrorScope("validation");
    try {
      const made = await pipelineOf(device, known, test);
      wrong = compare(test, words, await run(device, made, test, words));
    } catch (error) {
      wrong = [String(error.message ?? error)];
    }
    for (const error of [await device.popErrorScope(), await device.popErrorScope()]) {
      if (error) wrong.push(error.message);
    }
    await say({ name: test.name, wrong });
  }
  await say({ done: true });
}

main().catch((error) => say({ fatal: String(error.stack ?? error) }));
