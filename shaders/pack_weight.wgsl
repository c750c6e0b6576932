// packed[k4, q] = w[q, 4 k4 .. 4 k4 + 3] for q = g N + n; 64 neighbouring q of one k4 in a workgroup. With panels
// packed[n / 32, k4, g, n % 32]; the last panel is as wide as what is left of N.

struct Params {
    groups: u32,
    outputs: u32,
    inputs: u32,
    panels: u32,
}

@group(0) @binding(0) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> packed: array<vec4<f32>>;

/// Outputs of a panel.
const PANEL: u32 = 32u;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let depth = quads(params.inputs);
    let columns = params.groups * params.outputs;
    let k4 = fold(group) % depth;
    let q = fold(group) / depth * 64u + lane;
    if q >= columns {
        return;
    }
    var at = k4 * columns + q;
    if params.panels == 1u {
        let n = q % params.outputs;
        let first = n / PANEL * PANEL;
        let width = min(PANEL, params.outputs - first);
        at = first * depth * params.groups + (k4 * params.groups + q / params.outputs) * width + n - first;
    }
    packed[at] = w[q * depth + k4];
}
