// out[m, first + n] = Σ_k x[m, k] · w[n, k] (+ bias[first + n]) (+ out[m, first + n])
// Shapes: x [M, K] f32; w one tile [rows, K] as 16-byte blocks [K/B][rows], B = 4, 8, 16, 32 for f32, f16, q8, q4;
//   scales f16 [K/32][rows], two in a word; bias [N]; out [M, stride].
// Grid: (rows / 64, M / ROW_TILE). An invocation owns one column and ROW_TILE rows, so that a block is read and
//   dequantised once for ROW_TILE rows; neighbouring invocations read neighbouring blocks.
// Bytes moved: the tile M / ROW_TILE times, x rows / 64 times (the same address in a whole workgroup: broadcast).
// Limits: K a multiple of B (quantised: of 32); no workgroup memory, no barrier.
// Twin: matmul::reference
const WEIGHT_TYPE: u32 = 3u; // 0 f32, 1 f16, 2 q8, 3 q4
const BIAS: u32 = 1u;
const ACCUMULATE: u32 = 1u;
const ROW_TILE: u32 = 8u;

struct Params { k: u32, rows: u32, first: u32, stride: u32, m: u32, row_tile: u32, p6: u32, p7: u32 }
struct Call { rows: u32, pos: u32, step: u32, seed: u32, temperature: f32, top_p: f32, top_k: u32, head_row: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> call: Call;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> blocks: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> scales: array<u32>;
@group(0) @binding(5) var<storage, read> bias: array<f32>;
@group(0) @binding(6) var<storage, read_write> out: array<f32>;

var<private> values: array<vec4<f32>, 8>;

fn scale(index: u32) -> f32 {
    let pair = unpack2x16float(scales[index >> 1u]);
    return select(pair.x, pair.y, (index & 1u) == 1u);
}

fn low_nibbles(w: u32) -> vec4<f32> {
    return vec4<f32>((vec4<u32>(w) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(15u)) - 8.0;
}

fn signed_bytes(w: u32) -> vec4<f32> {
    return vec4<f32>((vec4<i32>(bitcast<i32>(w)) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u));
}

// Dequantises block `kb` of row `n` into `values`, scales left out; returns the scale.
fn load_block(kb: u32, n: u32) -> f32 {
    let w = blocks[kb * params.rows + n];
    if (WEIGHT_TYPE == 0u) {
        values[0] = bitcast<vec4<f32>>(w);
        return 1.0;
    } else if (WEIGHT_TYPE == 1u) {
        values[0] = vec4<f32>(unpack2x16float(w.x), unpack2x16float(w.y));
        values[1] = vec4<f32>(unpack2x16float(w.z), unpack2x16float(w.w));
        return 1.0;
    } else if (WEIGHT_TYPE == 2u) {
        values[0] = signed_bytes(w.x);
        values[1] = signed_bytes(w.y);
        values[2] = signed_bytes(w.z);
        values[3] = signed_bytes(w.w);
        return scale((kb >> 1u) * params.rows + n);
    }
    values[0] = low_nibbles(w.x);
    values[1] = low_nibbles(w.y);
    values[2] = low_nibbles(w.z);
    values[3] = low_nibbles(w.w);
    values[4] = low_nibbles(w.x >> 4u);
    values[5] = low_nibbles(w.y >> 4u);
    values[6] = low_nibbles(w.z >> 4u);
    values[7] = low_nibbles(w.w >> 4u);
    return scale(kb * params.rows + n);
}

const PARTS: u32 = 1u << WEIGHT_TYPE; // vec4 per block

fn part_dot(at: u32) -> f32 {
    var sum = dot(x[at], values[0]);
    if (WEIGHT_TYPE >= 1u) { sum += dot(x[at + 1u], values[1]); }
    if (WEIGHT_TYPE >= 2u) { sum += dot(x[at + 2u], values[2]) + dot(x[at + 3u], values[3]); }
    if (WEIGHT_TYPE >= 3u) {
        sum += dot(x[at + 4u], values[4]) + dot(x[at + 5u], values[5]);
        sum += dot(x[at + 6u], values[6]) + dot(x[at + 7u], values[7]);
    }
    return sum;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let n = id.x;
    if (n >= params.rows) { return; }
    let m_rows = select(params.m, call.rows, params.m == 0u);
    let m0 = id.y * ROW_TILE;
    let count = min(ROW_TILE, m_rows - m0);
    let row_parts = params.k / 4u;
    var sums: array<f32, ROW_TILE>;
    for (var kb = 0u; kb < row_parts / PARTS; kb++) {
        let d = load_block(kb, n);
        for (var r = 0u; r < ROW_TILE; r++) {
            // Rows past the end repeat the last one, so that the loop has a fixed length.
            let row = min(m0 + r, m_rows - 1u);
            sums[r] += d * part_dot(row * row_parts + kb * PARTS);
        }
    }
    for (var r = 0u; r < count; r++) {
        let at = (m0 + r) * params.stride + params.first + n;
        var y = sums[r];
        if (BIAS == 1u) { y += bias[params.first + n]; }
        if (ACCUMULATE == 1u) { y += out[at]; }
        out[at] = y;
    }
}
