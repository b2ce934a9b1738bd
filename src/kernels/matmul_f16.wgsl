// out[m, first + n] = Σ_k x[m, k] · w[n, k] (+ bias[first + n]) (+ out[m, first + n]), activated: matmul.wgsl's product for GPUs that
//   multiply 16-bit floats faster. Sums of a group of 32 are f16, of integer weights and activations between -1 and 1 (a
//   scale of a row's group takes what they exceed it by), so that nothing overflows or vanishes; sums of groups are f32.
// Shapes, weights and bindings: as matmul.wgsl, without f32 and f16 weights.
// Grid: (rows / COLS, M / ROWS). A workgroup computes a tile of ROWS × COLS, an invocation 8 × 8 of it in registers. For
//   every group the operands go through workgroup memory: an invocation scales a row's, and turns columns so that k is
//   outermost; of every four k an invocation reads 16 vec4 and multiplies and adds 256 times.
// Bank conflicts: none; neighbouring invocations read neighbouring vec4 (columns) or the same one (rows).
// Bytes moved: the weights M / ROWS times, x rows / COLS times, out once.
// Workgroup memory: 72 · ROWS + 76 · COLS bytes, 14 KiB for 64 × 128; two barriers per group.
// Limits: as matmul.wgsl; K a multiple of 32; ROWS and COLS multiples of 8, ROWS · COLS / 64 invocations at most 256.
// Twin: matmul::reference, up to the rounding.   Source: facts/browser-engines.md
enable f16;
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

const CENTRE: f32 = select(select(0.0, 16.0, OFFSET), 8.0, NIBBLES); // so that sums are not mostly offset
const GROUP_PARTS: u32 = 8u;
const ROW_QUADS: u32 = ROWS / 4u;
const COL_QUADS: u32 = COLS / 4u;
const INVOCATIONS: u32 = ROWS * COLS / 64u;

var<workgroup> x_tile: array<vec4<f16>, GROUP_PARTS * ROWS>; // [part][row]
var<workgroup> w_tile: array<vec4<f16>, 4u * GROUP_PARTS * COL_QUADS>; // [k][columns i, i + COL_QUADS, ..]
var<workgroup> x_scales: array<vec2<f32>, ROWS>; // scale, and sum
var<workgroup> low_scales: array<vec4<f32>, COL_QUADS>;
var<workgroup> high_scales: array<vec4<f32>, COL_QUADS>;
var<workgroup> offsets: array<vec4<f32>, COL_QUADS>;
// Sums of an invocation's row quads times its column quads, and those of a group; a column of a matrix is a row of the
// product.
var<private> s00: mat4x4<f32>;
var<private> s01: mat4x4<f32>;
var<private> s10: mat4x4<f32>;
var<private> s11: mat4x4<f32>;
var<private> h00: mat4x4<f16>;
var<private> h01: mat4x4<f16>;
var<private> h10: mat4x4<f16>;
var<private> h11: mat4x4<f16>;

fn largest(a: vec4<f32>) -> f32 {
    let b = max(abs(a.xy), abs(a.zw));
    return max(b.x, b.y);
}

// Rows past the end repeat the last one.
fn load_x(row: u32, group: u32, m: u32, m_rows: u32) {
    let at = min(m + row, m_rows - 1u) * (params.k / 4u) + GROUP_PARTS * group;
    var top = 0.0;
    for (var part = 0u; part < GROUP_PARTS; part++) { top = max(top, largest(x[at + part])); }
    // Of smaller ones the inverse would not be finite.
    let inverse = select(0.0, 1.0 / top, top > 1e-35);
    var sum = vec4<f32>(0.0);
    for (var part = 0u; part < GROUP_PARTS; part++) {
        let a = vec4<f16>(x[at + part] * inverse);
        sum += vec4<f32>(a);
        x_tile[part * ROWS + row] = a;
    }
    x_scales[row] = top * vec2<f32>(1.0, dot(sum, vec4<f32>(1.0)));
}

// Weights 4 part .. 4 part + 3 of row n of the planes, without scale and offset.
fn weights(part: u32, n: u32) -> vec4<f16> {
    return vec4<f16>(quants(blocks[part / PARTS * params.plane_rows + n], part % PARTS) - CENTRE);
}

// Columns past the end repeat the last one.
fn load_w(quad: u32, within: u32, group: u32, n: u32) {
    let part = group * GROUP_PARTS + within;
    let places = vec4<u32>(n + quad) + vec4<u32>(0u, COL_QUADS, 2u * COL_QUADS, 3u * COL_QUADS);
    let column = params.plane_first + min(places, vec4<u32>(params.rows - 1u));
    let turned = transpose(mat4x4<f16>(
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
    if (within % 4u != 0u) { return; }
    let half = within / 4u;
    let a0 = scale_offset(group, half, column.x);
    let a1 = scale_offset(group, half, column.y);
    let a2 = scale_offset(group, half, column.z);
    let a3 = scale_offset(group, half, column.w);
    let scale = vec4<f32>(a0.x, a1.x, a2.x, a3.x);
    if (half == 1u) {
        high_scales[quad] = scale;
        return;
    }
    low_scales[quad] = scale;
    offsets[quad] = vec4<f32>(a0.y, a1.y, a2.y, a3.y) + CENTRE * scale;
}

fn rows(part: u32, first: u32) -> mat4x4<f16> {
    let at = part * ROWS + first;
    return mat4x4<f16>(x_tile[at], x_tile[at + 1u], x_tile[at + 2u], x_tile[at + 3u]);
}

fn columns(part: u32, quad: u32) -> mat4x4<f16> {
    let at = 4u * part * COL_QUADS + quad;
    return mat4x4<f16>(w_tile[at], w_tile[at + COL_QUADS], w_tile[at + 2u * COL_QUADS], w_tile[at + 3u * COL_QUADS]);
}

fn multiply(part: u32, row0: u32, row1: u32, column0: u32, both: bool) {
    let w0 = columns(part, column0);
    let w1 = columns(part, column0 + COL_QUADS / 2u);
    let x0 = rows(part, row0);
    h00 += w0 * x0;
    h01 += w1 * x0;
    if (both) {
        let x1 = rows(part, row1);
        h10 += w0 * x1;
        h11 += w1 * x1;
    }
}

fn scaled(h: mat4x4<f16>, row: u32, scales: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(
        vec4<f32>(h[0]) * (x_scales[row].x * scales),
        vec4<f32>(h[1]) * (x_scales[row + 1u].x * scales),
        vec4<f32>(h[2]) * (x_scales[row + 2u].x * scales),
        vec4<f32>(h[3]) * (x_scales[row + 3u].x * scales),
    );
}

// Adds the sums of a group, or of its half, to those of all groups.
fn flush(row0: u32, row1: u32, column0: u32, high: bool, both: bool) {
    let column1 = column0 + COL_QUADS / 2u;
    var scales0 = low_scales[column0];
    var scales1 = low_scales[column1];
    if (high) {
        scales0 = high_scales[column0];
        scales1 = high_scales[column1];
    }
    s00 += scaled(h00, row0, scales0);
    s01 += scaled(h01, row0, scales1);
    h00 = mat4x4<f16>();
    h01 = mat4x4<f16>();
    if (both) {
        s10 += scaled(h10, row1, scales0);
        s11 += scaled(h11, row1, scales1);
        h10 = mat4x4<f16>();
        h11 = mat4x4<f16>();
    }
}

fn outer(row: u32, b: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(
        b * x_scales[row].y,
        b * x_scales[row + 1u].y,
        b * x_scales[row + 2u].y,
        b * x_scales[row + 3u].y,
    );
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
        for (var i = lane; i < ROWS; i += INVOCATIONS) { load_x(i, g, m, m_rows); }
        for (var i = lane; i < COL_QUADS * GROUP_PARTS; i += INVOCATIONS) { load_w(i % COL_QUADS, i / COL_QUADS, g, n); }
        workgroupBarrier();
        // Few rows leave whole subgroups without work.
        if (m + row0 < m_rows) {
            let both = m + row1 < m_rows;
            for (var part = 0u; part < GROUP_PARTS; part++) {
                multiply(part, row0, row1, column0, both);
                if (WEIGHT_TYPE == 8u && part == 3u) { flush(row0, row1, column0, false, both); }
            }
            flush(row0, row1, column0, true, both);
            if (OFFSET) {
                s00 += outer(row0, offsets[column0]);
                s01 += outer(row0, offsets[column1]);
                s10 += outer(row1, offsets[column0]);
                s11 += outer(row1, offsets[column1]);
            }
        }
        workgroupBarrier();
    }
    store(m + row0, m_rows, n + column0, s00);
    store(m + row0, m_rows, n + column1, s01);
    store(m + row1, m_rows, n + column0, s10);
    store(m + row1, m_rows, n + column1, s11);
}
