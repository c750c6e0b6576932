// Weights that are packed in panels: `Layout::K4Panels`. The kernel has the parameter unit_len.

/// Units of a panel: what the quads of a panel read lies side by side, gate after gate.
const PANEL: u32 = 32u;

/// The width of the panel that holds a unit, the step from gate to gate.
fn panel_width(first: u32) -> u32 {
    return min(PANEL, params.unit_len - first / PANEL * PANEL);
}

/// Where the first gate's weights of a quad lie at k = 0, in a weight that is packed in panels; the step to the next k
/// is `gates` widths. Units behind the last one repeat it.
fn panel_at(first: u32, depth: u32, gates: u32) -> vec4<u32> {
    let start = first / PANEL * PANEL;
    return start * depth * gates + min(first - start + vec4(0u, 1u, 2u, 3u), vec4(panel_width(first) - 1u));
}
