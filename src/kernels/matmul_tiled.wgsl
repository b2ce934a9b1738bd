// out[m, first + n] = Σ_k x[m, k] · w[n, k] (+ bias[first + n]) (+ out[m, first + n]), activated: matmul.wgsl's product for GPUs.
// Shapes, weights and bindings: as matmul.wgsl.
// Grid: (rows / COLS, M / ROWS). A workgroup computes a tile of ROWS × COLS, an invocation 8 × 8 of it in registers. For
//   every STEP of k the operands go through workgroup memory, dequantised once and turned so that k is outermost; of each
//   k an invocation reads 4 vec4 and multiplies and adds 64 times.
// Bank conflicts: none; neighbouring invocations read and write neighbouring vec4 (columns) or the same one (rows). So the
//   columns of a quad lie COLS / 4 apart: neighbours also read neighbouring blocks, and write neighbouring sums.
// Bytes moved: the weights M / ROWS times, x rows / COLS times, out once.
// Workgroup memory: 4 · STEP · (ROWS + COLS) bytes, 12 KiB for 64 × 128; two barriers per STEP.
// Limits: as matmul.wgsl; ROWS and COLS multiples of 8, ROWS · COLS / 64 invocations at most 256.
// Twin: matmul::reference.   Source: Volkov & Demmel 2008 (register tiles); facts/browser-engines.md
const WEIGHT_TYPE: u32 = 3u; // 0 f32, 1 f16, 2 q8, 3 q4, 4 q4_1, 5 q5_1, 6 q4_k, 7 q5_k, 8 q6_k
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

const STEP: u32 = 16u;
const STEP_PARTS: u32 = STEP / 4u;
const ROW_QUADS: u32 = ROWS / 4u;
const COL_QUADS: u32 = COLS / 4u;
const INVOCATIONS: u32 = ROWS * COLS / 64u;

var<workgroup> x_tile: array<vec4<f32>, STEP * ROW_QUADS>; // [k][rows 4i .. 4i + 3]
var<workgroup> w_tile: array<vec4<f32>, STEP * COL_QUADS>; // [k][columns i, i + COL_QUADS, ..]
// Sums of an invocation's row quads times its column quads; a column of a matrix is a row of the product.
var<private> s00: mat4x4<f32>;
var<private> s01: mat4x4<f32>;
var<private> s10: mat4x4<f32>;
var<private> s11: mat4x4<f32>;
var<private> own_rows: u32; // the first of two row quads, ROW_QUADS / 2 apart
var<private> own_cols: u32; // the first of two column quads, COL_QUADS / 2 apart

// Weights 4 part .. 4 part + 3 of row n of the planes.
fn weights(part: u32, n: u32) -> vec4<f32> {
    let q = quants(blocks[part / PARTS * params.plane_rows + n], part % PARTS);
    if (WEIGHT_TYPE <= 1u) { return q; }
    let a = scale_offset(part / 8u, (part / 4u) & 1u, n);
    if (OFFSET) { return q * a.x + a.y; }
    return q * a.x;
}

// Rows past the end repeat the last one; what lies past the end of a row counts as zero.
fn load_x(lane: u32, step: u32, m: u32, m_rows: u32) {
    let parts = params.k / 4u;
    for (var i = lane; i < ROW_QUADS * STEP_PARTS; i += INVOCATIONS) {
        let quad = i % ROW_QUADS;
        let within = i / ROW_QUADS;
        let part = step * STEP_PARTS + within;
        let row = min(vec4<u32>(m + 4u * quad) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(m_rows - 1u)) * parts;
        let at = min(part, parts - 1u);
        let turned = transpose(mat4x4<f32>(x[row.x + at], x[row.y + at], x[row.z + at], x[row.w + at]));
        let exists = f32(part < parts);
        let to = 4u * within * ROW_QUADS + quad;
        x_tile[to] = turned[0] * exists;
        x_tile[to + ROW_QUADS] = turned[1] * exists;
        x_tile[to + 2u * ROW_QUADS] = turned[2] * exists;
        x_tile[to + 3u * ROW_QUADS] = turned[3] * exists;
    }
}

// Columns past the end, and parts past the end of a row, repeat the last one.
fn load_w(lane: u32, step: u32, n: u32) {
    for (var i = lane; i < COL_QUADS * STEP_PARTS; i += INVOCATIONS) {
        let quad = i % COL_QUADS;
        let within = i / COL_QUADS;
        let part = min(step * STEP_PARTS + within, params.k / 4u - 1u);
        let places = vec4<u32>(n + quad) + vec4<u32>(0u, COL_QUADS, 2u * COL_QUADS, 3u * COL_QUADS);
        let column = params.plane_first + min(places, vec4<u32>(params.rows - 1u));
        let turned = transpose(mat4x4<f32>(
            weights(part, column.x),
            weights(part, column.y),
            weights(part, column.z),
            weights(part, column.w),
        ));
        let to = 4u * within * COL_QUADS + quad;
        w_tile[to] = turned[0];
        w_tile[to + COL_QUADS] = turned[1];
        w_tile[to + 2u * COL_QUADS] = turned[2];
        w_tile[to + 3u * COL_QUADS] = turned[3];
    }
}

fn outer(a: vec4<f32>, b: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(b * a.x, b * a.y, b * a.z, b * a.w);
}

fn multiply(k: u32, both: bool) {
    let w0 = w_tile[k * COL_QUADS + own_cols];
    let w1 = w_tile[k * COL_QUADS + own_cols + COL_QUADS / 2u];
    let x0 = x_tile[k * ROW_QUADS + own_rows];
    s00 += outer(x0, w0);
    s01 += outer(x0, w1);
    if (both) {
        let x1 = x_tile[k * ROW_QUADS + own_rows + ROW_QUADS / 2u];
        s10 += outer(x1, w0);
        s11 += outer(x1, w1);
    }
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
    own_rows = lane / (COL_QUADS / 2u);
    own_cols = lane % (COL_QUADS / 2u);
    let m0 = m + 4u * own_rows;
    let m1 = m0 + ROWS / 2u;
    for (var step = 0u; step < (params.k + STEP - 1u) / STEP; step++) {
        load_x(lane, step, m, m_rows);
        load_w(lane, step, n);
        workgroupBarrier();
        // Few rows leave whole subgroups without work.
        if (m1 < m_rows) {
            for (var k = 0u; k < STEP; k += 4u) {
                multiply(k, true);
                multiply(k + 1u, true);
                multiply(k + 2u, true);
                multiply(k + 3u, true);
            }
        } else if (m0 < m_rows) {
            for (var k = 0u; k < STEP; k += 4u) {
                multiply(k, false);
                multiply(k + 1u, false);
                multiply(k + 2u, false);
                multiply(k + 3u, false);
            }
        }
        workgroupBarrier();
    }
    store(m0, m_rows, n + own_cols, s00);
    store(m0, m_rows, n + own_cols + COL_QUADS / 2u, s01);
    store(m1, m_rows, n + own_cols, s10);
    store(m1, m_rows, n + own_cols + COL_QUADS / 2u, s11);
}
