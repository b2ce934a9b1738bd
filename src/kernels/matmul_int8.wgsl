// out[m, first + n] = Σ_k x[m, k] · w[n, k] (+ bias[first + n]) (+ out[m, first + n]), activated: matmul.wgsl's product for GPUs that
//   multiply four pairs of bytes at once. Activations are rounded to bytes times a scale, for every row and group of 32.
// Shapes, weights and bindings: as matmul.wgsl, without f32 and f16 weights.
// Grid: (rows / COLS, M / ROWS). A workgroup computes a tile of ROWS × COLS, an invocation 8 × 8 of it in registers. For
//   every group the operands go through workgroup memory as bytes: an invocation rounds a row's, or copies a column's,
//   then reads 48 vec4 and multiplies 512 times four pairs; sums of a group are exact, and are scaled once.
// Bank conflicts: none; neighbouring invocations read neighbouring vec4 (columns) or the same one (rows).
// Bytes moved: the weights M / ROWS times, x rows / COLS times, out once.
// Workgroup memory: 40 · ROWS + 48 · COLS bytes, 8.5 KiB for 64 × 128; two barriers per group.
// Limits: as matmul.wgsl; K a multiple of 32; ROWS and COLS multiples of 8, ROWS · COLS / 64 invocations at most 256.
// Twin: matmul::reference, up to the rounding, which is cpu/matmul.rs's too.   Source: ggml's mul_mat_q
const WEIGHT_TYPE: u32 = 3u; // 2 q8, 3 q4, 4 q4_1, 5 q5_1, 6 q4_k, 7 q5_k, 8 q6_k
const ROWS: u32 = 64u;
const COLS: u32 = 128u;

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
const OFFSET: bool = WEIGHT_TYPE >= 3u && WEIGHT_TYPE <= 7u; // values are q · scale + offset, else q · scale

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

const COL_QUADS: u32 = COLS / 4u;
const INVOCATIONS: u32 = ROWS * COLS / 64u;

// Of a row or column: values 0 .. 15 of a group, and 16 .. 31 further on; four bytes in a word.
var<workgroup> x_tile: array<vec4<u32>, 2u * ROWS>;
var<workgroup> w_tile: array<vec4<u32>, 2u * COLS>;
var<workgroup> x_scales: array<vec2<f32>, ROWS>; // scale, and scale · Σ bytes
var<workgroup> w_scales: array<vec3<f32>, COLS>; // scales of the halves, offset
// Sums of an invocation's row quads times its column quads; a column of a matrix is a row of the product.
var<private> s00: mat4x4<f32>;
var<private> s01: mat4x4<f32>;
var<private> s10: mat4x4<f32>;
var<private> s11: mat4x4<f32>;
// Four columns: their low and high halves, scales of those, offsets.
var<private> low0: vec4<u32>;
var<private> low1: vec4<u32>;
var<private> low2: vec4<u32>;
var<private> low3: vec4<u32>;
var<private> high0: vec4<u32>;
var<private> high1: vec4<u32>;
var<private> high2: vec4<u32>;
var<private> high3: vec4<u32>;
var<private> low_scales: vec4<f32>;
var<private> high_scales: vec4<f32>;
var<private> offsets: vec4<f32>;

fn largest(a: vec4<f32>) -> f32 {
    let b = max(abs(a.xy), abs(a.zw));
    return max(b.x, b.y);
}

fn rounded(a: vec4<f32>, inverse: f32) -> u32 {
    return pack4xI8(vec4<i32>(round(a * inverse)));
}

fn sum(a: vec4<u32>) -> i32 {
    let ones = 0x01010101u;
    return dot4I8Packed(a.x, ones) + dot4I8Packed(a.y, ones) + dot4I8Packed(a.z, ones) + dot4I8Packed(a.w, ones);
}

// Rows past the end repeat the last one.
fn load_x(row: u32, group: u32, m: u32, m_rows: u32) {
    let at = min(m + row, m_rows - 1u) * (params.k / 4u) + 8u * group;
    let a0 = x[at];
    let a1 = x[at + 1u];
    let a2 = x[at + 2u];
    let a3 = x[at + 3u];
    let a4 = x[at + 4u];
    let a5 = x[at + 5u];
    let a6 = x[at + 6u];
    let a7 = x[at + 7u];
    let low = largest(vec4<f32>(largest(a0), largest(a1), largest(a2), largest(a3)));
    let top = max(low, largest(vec4<f32>(largest(a4), largest(a5), largest(a6), largest(a7))));
    // Of smaller ones the inverse would not be finite.
    let inverse = select(0.0, 127.0 / top, top > 1e-35);
    let values = vec4<u32>(rounded(a0, inverse), rounded(a1, inverse), rounded(a2, inverse), rounded(a3, inverse));
    let more = vec4<u32>(rounded(a4, inverse), rounded(a5, inverse), rounded(a6, inverse), rounded(a7, inverse));
    x_tile[row] = values;
    x_tile[ROWS + row] = more;
    x_scales[row] = top / 127.0 * vec2<f32>(1.0, f32(sum(values) + sum(more)));
}

// Columns past the end repeat the last one.
fn load_w(column: u32, group: u32, n: u32) {
    let row = params.plane_first + min(n + column, params.rows - 1u);
    if (NIBBLES) {
        let w = blocks[group * params.plane_rows + row];
        w_tile[column] = w & vec4<u32>(0x0f0f0f0fu);
        w_tile[COLS + column] = (w >> vec4<u32>(4u)) & vec4<u32>(0x0f0f0f0fu);
    } else {
        w_tile[column] = blocks[2u * group * params.plane_rows + row];
        w_tile[COLS + column] = blocks[(2u * group + 1u) * params.plane_rows + row];
    }
    let a = scale_offset(group, 0u, row);
    let high = select(a.x, scale_offset(group, 1u, row).x, WEIGHT_TYPE == 8u);
    w_scales[column] = vec3<f32>(a.x, high, a.y);
}

fn take_columns(first: u32) {
    low0 = w_tile[first];
    low1 = w_tile[first + COL_QUADS];
    low2 = w_tile[first + 2u * COL_QUADS];
    low3 = w_tile[first + 3u * COL_QUADS];
    high0 = w_tile[COLS + first];
    high1 = w_tile[COLS + first + COL_QUADS];
    high2 = w_tile[COLS + first + 2u * COL_QUADS];
    high3 = w_tile[COLS + first + 3u * COL_QUADS];
    let a0 = w_scales[first];
    let a1 = w_scales[first + COL_QUADS];
    let a2 = w_scales[first + 2u * COL_QUADS];
    let a3 = w_scales[first + 3u * COL_QUADS];
    low_scales = vec4<f32>(a0.x, a1.x, a2.x, a3.x);
    high_scales = vec4<f32>(a0.y, a1.y, a2.y, a3.y);
    offsets = vec4<f32>(a0.z, a1.z, a2.z, a3.z);
}

fn dots(a: vec4<u32>, w0: vec4<u32>, w1: vec4<u32>, w2: vec4<u32>, w3: vec4<u32>) -> vec4<i32> {
    return vec4<i32>(
        dot4I8Packed(a.x, w0.x) + dot4I8Packed(a.y, w0.y) + dot4I8Packed(a.z, w0.z) + dot4I8Packed(a.w, w0.w),
        dot4I8Packed(a.x, w1.x) + dot4I8Packed(a.y, w1.y) + dot4I8Packed(a.z, w1.z) + dot4I8Packed(a.w, w1.w),
        dot4I8Packed(a.x, w2.x) + dot4I8Packed(a.y, w2.y) + dot4I8Packed(a.z, w2.z) + dot4I8Packed(a.w, w2.w),
        dot4I8Packed(a.x, w3.x) + dot4I8Packed(a.y, w3.y) + dot4I8Packed(a.z, w3.z) + dot4I8Packed(a.w, w3.w),
    );
}

// A row of a group times the four columns.
fn product(row: u32) -> vec4<f32> {
    let scale = x_scales[row];
    let low = dots(x_tile[row], low0, low1, low2, low3);
    let high = dots(x_tile[ROWS + row], high0, high1, high2, high3);
    var y: vec4<f32>;
    if (WEIGHT_TYPE == 8u) {
        y = (vec4<f32>(low) * low_scales + vec4<f32>(high) * high_scales) * scale.x;
    } else {
        y = vec4<f32>(low + high) * (low_scales * scale.x);
    }
    if (OFFSET) { y += offsets * scale.y; }
    return y;
}

fn products(row: u32) -> mat4x4<f32> {
    return mat4x4<f32>(product(row), product(row + 1u), product(row + 2u), product(row + 3u));
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

fn put(m: u32, n: u32, sum: f32) {
    if (n >= params.rows) { return; }
    let to = m * params.stride + params.first + n;
    var y = sum;
    if ((params.epilogue & BIAS) != 0u) { y += bias[params.first + n]; }
    if ((params.epilogue & ACCUMULATE) != 0u) { y += out[to]; }
    out[to] = activated(y);
}

fn put_quad(m: u32, m_rows: u32, n: u32, sums: vec4<f32>) {
    if (m >= m_rows) { return; }
    put(m, n, sums.x);
    put(m, n + COL_QUADS, sums.y);
    put(m, n + 2u * COL_QUADS, sums.z);
    put(m, n + 3u * COL_QUADS, sums.w);
}

fn store(m: u32, m_rows: u32, n: u32, sums: mat4x4<f32>) {
    put_quad(m, m_rows, n, sums[0]);
    put_quad(m + 1u, m_rows, n, sums[1]);
    put_quad(m + 2u, m_rows, n, sums[2]);
    put_quad(m + 3u, m_rows, n, sums[3]);
}

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let m_rows = select(params.m, call.rows, params.m == 0u);
    let m = group.y * ROWS;
    let n = group.x * COLS;
    let row0 = 4u * (lane / (COL_QUADS / 2u));
    let row1 = row0 + ROWS / 2u;
    let column0 = lane % (COL_QUADS / 2u);
    let column1 = column0 + COL_QUADS / 2u;
    for (var g = 0u; g < params.k / 32u; g++) {
        // From both ends, so that where there are enough invocations none does both.
        for (var i = lane; i < ROWS; i += INVOCATIONS) { load_x(i, g, m, m_rows); }
        for (var i = INVOCATIONS - 1u - lane; i < COLS; i += INVOCATIONS) { load_w(i, g, n); }
        workgroupBarrier();
        // Few rows leave whole subgroups without work.
        if (m + row0 < m_rows) {
            let both = m + row1 < m_rows;
            take_columns(column0);
            s00 += products(row0);
            if (both) { s10 += products(row1); }
            take_columns(column1);
            s01 += products(row0);
            if (both) { s11 += products(row1); }
        }
        workgroupBarrier();
    }
    store(m + row0, m_rows, n + column0, s00);
    store(m + row0, m_rows, n + column1, s01);
    store(m + row1, m_rows, n + column0, s10);
    store(m + row1, m_rows, n + column1, s11);
}
