// Four rows of one unit's pre-activations, and the recurrent products that are added to them. The kernel declares
// h and w_hh: array<vec4<f32>> and parameters hidden and unit_len.

struct Gates {
    i: vec4<f32>,
    f: vec4<f32>,
    g: vec4<f32>,
    o: vec4<f32>,
}

fn plus(a: Gates, b: Gates) -> Gates {
    return Gates(a.i + b.i, a.f + b.f, a.g + b.g, a.o + b.o);
}

/// gates + W_hh h for the rows of h that start at h_at, in vec4s.
fn add_recurrent(before: Gates, h_at: vec4<u32>, unit: u32) -> Gates {
    var gates = before;
    let depth = quads(params.hidden);
    let units = params.unit_len;
    for (var block = 0u; block < depth; block += BLOCK) {
        var s = Gates();
        for (var k = block; k < min(block + BLOCK, depth); k++) {
            let hs = by_k(h[h_at.x + k], h[h_at.y + k], h[h_at.z + k], h[h_at.w + k]);
            let at = k * 4u * units + unit;
            s.i = fma4_rows(w_hh[at], hs, s.i);
            s.f = fma4_rows(w_hh[at + units], hs, s.f);
            s.g = fma4_rows(w_hh[at + 2u * units], hs, s.g);
            s.o = fma4_rows(w_hh[at + 3u * units], hs, s.o);
        }
        gates = plus(gates, s);
    }
    return gates;
}

/// The same bias of each gate for four rows.
fn gates_of(i: f32, f: f32, g: f32, o: f32) -> Gates {
    return Gates(vec4(i), vec4(f), vec4(g), vec4(o));
}
