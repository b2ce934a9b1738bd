// out[m, first + n] = Σ_k x[m, k] · w[n, k] (+ bias[first + n]) (+ out[m, first + n]), activated
// Shapes: x [M, K] f32; w rows of a tile [plane_rows, K] from plane_first on, as 16-byte blocks [K/B][plane_rows],
//   B = 4 (f32), 8 (f16), 16 (bytes), 32 (nibbles); scales: an entry per 32 values [K/32][plane_rows], then, for the k
//   types, one per 256 [K/256][plane_rows] (see quant/mod.rs); bias [N]; out [M, stride].
// Grid: (rows / 512, M / 8). An invocation owns 8 rows and 8 columns in registers: 16 vec4 are read and 8 more
//   dequantised for 64 dot products, so that arithmetic, not loading, is what takes time.
// Bytes moved: the tile M / 8 times, x rows / 8 times (the same address in a whole workgroup: broadcast).
// Limits: K a multiple of B (quantised: of 32, k types: of 256); no workgroup memory, no barrier.
// Twin: matmul::reference
const WEIGHT_TYPE: u32 = 3u; // 0 f32, 1 f16, 2 q8, 3 q4, 4 q4_1, 5 q5_1, 6 q4_k, 7 q5_k, 8 q6_k

struct Params { k: u32, rows: u32, first: u32, stride: u32, m: u32, plane_rows: u32, plane_first: u32, epilogue: u32 }
struct Call { rows: u32, pos: u32, step: u32, seed: u32, temperature: f32, top_p: f32, top_k: u32, head_row: u32 }
// params.epilogue, known only here so that one pipeline serves every product of a type of weights; its low bits are the tile's.
const BIAS: u32 = 0x1000000u;
const ACCUMULATE: u32 = 0x2000000u;
const ACTIVATION: u32 = 26u; // from this bit on: 0 none, 1 quick-GELU x · sigmoid(1.702 x), 2 exact GELU x · Φ(x)

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> call: Call;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> blocks: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> scales: array<u32>;
@group(0) @binding(5) var<storage, read> bias: array<f32>;
@group(0) @binding(6) var<storage, read_write> out: array<f32>;

const NIBBLES: bool = WEIGHT_TYPE == 3u || WEIGHT_TYPE == 4u || WEIGHT_TYPE == 6u; // 32 in a block
const SIGNED: bool = WEIGHT_TYPE == 2u || WEIGHT_TYPE == 8u; // bytes −128 … 127, else 0 … 255
const OFFSET: bool = WEIGHT_TYPE >= 3u && WEIGHT_TYPE <= 7u; // values are q · scale + offset, else q · scale
const PARTS: u32 = (1u << min(WEIGHT_TYPE, 2u)) << u32(NIBBLES); // vec4 per block

// Scale and offset of 16 values of row n of the planes, the `half` of their group of 32.
fn scale_offset(group: u32, half: u32, n: u32) -> vec2<f32> {
    let at = group * params.plane_rows + n;
    if (WEIGHT_TYPE <= 1u) { return vec2<f32>(1.0, 0.0); }
    if (WEIGHT_TYPE == 4u || WEIGHT_TYPE == 5u) { return unpack2x16float(scales[at]); }
    let word = scales[at >> 1u] >> (16u * (at & 1u));
    if (WEIGHT_TYPE <= 3u) { return unpack2x16float(word).x * vec2<f32>(1.0, -8.0); }
    let d = unpack2x16float(scales[(params.k / 64u + group / 8u) * params.plane_rows + n]);
    if (WEIGHT_TYPE == 8u) { return vec2<f32>(d.x * f32(extractBits(bitcast<i32>(word), 8u * half, 8u)), 0.0); }
    return vec2<f32>(d.x * f32(word & 255u), -d.y * f32((word >> 8u) & 255u));
}

// Conversions from i32: software adapters have to emulate those from u32.
fn low_nibbles(w: u32) -> vec4<f32> {
    return vec4<f32>(vec4<i32>((vec4<u32>(w) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(15u)));
}

fn bytes(w: u32) -> vec4<f32> {
    if (SIGNED) { return vec4<f32>((vec4<i32>(bitcast<i32>(w)) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u)); }
    return vec4<f32>(vec4<i32>((vec4<u32>(w) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u)));
}

// Four values of a block, without their scale; a constant `part` saves selections.
fn quants(w: vec4<u32>, part: u32) -> vec4<f32> {
    if (WEIGHT_TYPE == 0u) { return bitcast<vec4<f32>>(w); }
    if (WEIGHT_TYPE == 1u) { return vec4<f32>(unpack2x16float(w[2u * part]), unpack2x16float(w[2u * part + 1u])); }
    if (NIBBLES) { return low_nibbles(w[part & 3u] >> (4u * (part >> 2u))); }
    return bytes(w[part & 3u]);
}

// Blocks of eight columns and their scales.
var<private> w: array<vec4<u32>, 8>;
var<private> a: array<vec2<f32>, 8>;
// Sums of eight rows: columns 0 to 3, and 4 to 7.
var<private> s0: mat2x4<f32>;
var<private> s1: mat2x4<f32>;
var<private> s2: mat2x4<f32>;
var<private> s3: mat2x4<f32>;
var<private> s4: mat2x4<f32>;
var<private> s5: mat2x4<f32>;
var<private> s6: mat2x4<f32>;
var<private> s7: mat2x4<f32>;
var<private> at: array<u32, 8>; // the rows of x

fn weights(c: u32, part: u32) -> vec4<f32> {
    let q = quants(w[c], part);
    if (OFFSET) { return q * a[c].x + a[c].y; }
    if (WEIGHT_TYPE >= 2u) { return q * a[c].x; }
    return q;
}

// Four values of each of eight columns, times those of eight rows.
fn multiply(i: u32, part: u32) {
    let l = mat4x4<f32>(weights(0u, part), weights(1u, part), weights(2u, part), weights(3u, part));
    let r = mat4x4<f32>(weights(4u, part), weights(5u, part), weights(6u, part), weights(7u, part));
    let x0 = x[at[0] + i];
    s0 += mat2x4<f32>(x0 * l, x0 * r);
    let x1 = x[at[1] + i];
    s1 += mat2x4<f32>(x1 * l, x1 * r);
    let x2 = x[at[2] + i];
    s2 += mat2x4<f32>(x2 * l, x2 * r);
    let x3 = x[at[3] + i];
    s3 += mat2x4<f32>(x3 * l, x3 * r);
    let x4 = x[at[4] + i];
    s4 += mat2x4<f32>(x4 * l, x4 * r);
    let x5 = x[at[5] + i];
    s5 += mat2x4<f32>(x5 * l, x5 * r);
    let x6 = x[at[6] + i];
    s6 += mat2x4<f32>(x6 * l, x6 * r);
    let x7 = x[at[7] + i];
    s7 += mat2x4<f32>(x7 * l, x7 * r);
}

fn erf(x: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.3275911 * abs(x));
    let poly = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
    return sign(x) * (1.0 - poly * exp(-x * x));
}

// erf by Abramowitz and Stegun 7.1.26, absolute error at most 1.5e-7.
fn activated(x: f32) -> f32 {
    let activation = params.epilogue >> ACTIVATION;
    if (activation == 1u) { return x / (1.0 + exp(-1.702 * x)); }
    if (activation == 2u) { return 0.5 * x * (1.0 + erf(x * 0.70710678118)); }
    return x;
}

fn store(m: u32, m_rows: u32, n: u32, sums: mat2x4<f32>) {
    if (m >= m_rows) { return; }
    for (var c = 0u; c < 8u; c++) {
        if (n + c >= params.rows) { return; }
        let to = m * params.stride + params.first + n + c;
        var y = sums[c >> 2u][c & 3u];
        if ((params.epilogue & BIAS) != 0u) { y += bias[params.first + n + c]; }
        if ((params.epilogue & ACCUMULATE) != 0u) { y += out[to]; }
        out[to] = activated(y);
    }
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let n = id.x * 8u;
    if (n >= params.rows) { return; }
    let m_rows = select(params.m, call.rows, params.m == 0u);
    let m = id.y * 8u;
    let x_parts = params.k / 4u;
    // Rows and columns past the end repeat the last one, so that loops have a fixed length.
    for (var r = 0u; r < 8u; r++) { at[r] = min(m + r, m_rows - 1u) * x_parts; }
    for (var kb = 0u; kb < x_parts / PARTS; kb++) {
        for (var c = 0u; c < 8u; c++) {
            let column = params.plane_first + min(n + c, params.rows - 1u);
            w[c] = blocks[kb * params.plane_rows + column];
            a[c] = scale_offset(kb * PARTS / 8u, kb & 1u, column);
        }
        let i = kb * PARTS;
        multiply(i, 0u);
        if (PARTS >= 2u) { multiply(i + 1u, 1u); }
        if (PARTS >= 4u) {
            multiply(i + 2u, 2u);
            multiply(i + 3u, 3u);
        }
        if (PARTS >= 8u) {
            multiply(i + 4u, 4u);
            multiply(i + 5u, 5u);
            multiply(i + 6u, 6u);
            multiply(i + 7u, 7u);
        }
    }
    store(m, m_rows, n, s0);
    store(m + 1u, m_rows, n, s1);
    store(m + 2u, m_rows, n, s2);
    store(m + 3u, m_rows, n, s3);
    store(m + 4u, m_rows, n, s4);
    store(m + 5u, m_rows, n, s5);
    store(m + 6u, m_rows, n, s6);
    store(m + 7u, m_rows, n, s7);
}
