// Philox4x32-10 and Gumbel variates in integers only: the counterpart of src/ops/noise.rs, bit for bit. The formulas,
// units and error bounds stand there.

fn philox(counter: vec4<u32>, seed: vec2<u32>) -> vec4<u32> {
    var c = counter;
    var k = seed;
    for (var round = 0u; round < 10u; round++) {
        let hi0 = mul_hi(0xD2511F53u, c.x);
        let lo0 = 0xD2511F53u * c.x;
        let hi1 = mul_hi(0xCD9E8D57u, c.z);
        let lo1 = 0xCD9E8D57u * c.z;
        c = vec4(hi1 ^ c.y ^ k.x, lo1, hi0 ^ c.w ^ k.y, lo0);
        k += vec2(0x9E3779B9u, 0xBB67AE85u);
    }
    return c;
}

fn log_fraction(t: u32) -> u32 {
    let magnitude = 0x026D5B3Cu - 2u * mul_hi(0x01F0670Eu, t);
    let r4 = 0x040B532Du - 2u * mul_hi(magnitude, t);
    let r3 = 0x031209ACu + 2u * mul_hi(r4, t);
    let r2 = 0x0AD4454Bu + 2u * mul_hi(r3, t);
    let r1 = 0x1FFD561Du + 2u * mul_hi(r2, t);
    return 0x800006FEu + 2u * mul_hi(r1, t);
}

/// -ln(-ln u) for u = (bits + 1/2) / 2^32.
fn gumbel(bits: u32) -> f32 {
    var mantissa: u32;
    var exponent: u32;
    if bits >= 0x80000000u {
        let v = 2u * ~bits + 1u;
        let zeros = countLeadingZeros(v);
        let product = mul_hi(v << zeros, log_fraction(v >> 1u));
        let more = countLeadingZeros(product);
        mantissa = product << more;
        exponent = 32u + zeros + more;
    } else {
        let doubled = 2u * bits + 1u;
        let zeros = countLeadingZeros(doubled);
        let t = 0u - (doubled << zeros);
        let e = (zeros + 1u) * 93032640u + (mul_hi(t, log_fraction(t)) >> 4u);
        let more = countLeadingZeros(e);
        mantissa = e << more;
        exponent = 27u + more;
    }
    let t = 0u - mantissa;
    let fraction = mul_hi(t, log_fraction(t)) >> 5u;
    let g = (i32(exponent) - 32) * 46516320 + i32(fraction);
    return f32((g + 128) >> 8u) * (1.0 / 262144.0);
}

/// No Gumbel variate of these bits is larger: E = -ln u is at least 1 - u.
fn gumbel_bound(bits: u32) -> f32 {
    return f32(countLeadingZeros(~bits) + 1u) * 0.6932;
}
