// out[m, first + n] = Σ_k x[m, k] · w[n, k] (+ bias[first + n]) (+ out[m, first + n])
// Shapes: x [M, K] f32; w one tile [rows, K] as 16-byte blocks [K/B][rows], B = 4 (f32), 8 (f16), 16 (bytes), 32 (nibbles);
//   scales: an entry per 32 values [K/32][rows], then, for the k types, one per 256 [K/256][rows] (see quant/mod.rs);
//   bias [N]; out [M, stride].
// Grid: (rows / 64, M / ROW_TILE). An invocation owns one column and ROW_TILE rows, so that a block is read and
//   dequantised once for ROW_TILE rows; neighbouring invocations read neighbouring blocks.
// Bytes moved: the tile M / ROW_TILE times, x rows / 64 times (the same address in a whole workgroup: broadcast).
// Limits: K a multiple of B (quantised: of 32, k types: of 256); no workgroup memory, no barrier.
// Twin: matmul::reference
const WEIGHT_TYPE: u32 = 3u; // 0 f32, 1 f16, 2 q8, 3 q4, 4 q4_1, 5 q5_1, 6 q4_k, 7 q5_k, 8 q6_k
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

const NIBBLES: bool = WEIGHT_TYPE == 3u || WEIGHT_TYPE == 4u || WEIGHT_TYPE == 6u; // 32 in a block
const SIGNED: bool = WEIGHT_TYPE == 2u || WEIGHT_TYPE == 8u; // bytes −128 … 127, else 0 … 255
const OFFSET: bool = WEIGHT_TYPE >= 4u && WEIGHT_TYPE <= 7u; // a group has a minimum of its own
const PARTS: u32 = (1u << min(WEIGHT_TYPE, 2u)) << u32(NIBBLES); // vec4 per block

// Scale and offset of 16 values of row n, the `half` of their group of 32 (q4's offset of −8 scales is left out).
fn scale_offset(group: u32, half: u32, n: u32) -> vec2<f32> {
    let at = group * params.rows + n;
    if (WEIGHT_TYPE == 4u || WEIGHT_TYPE == 5u) { return unpack2x16float(scales[at]); }
    let word = scales[at >> 1u] >> (16u * (at & 1u));
    if (WEIGHT_TYPE <= 3u) { return vec2<f32>(unpack2x16float(word).x, 0.0); }
    let d = unpack2x16float(scales[(params.k / 64u + group / 8u) * params.rows + n]);
    if (WEIGHT_TYPE == 8u) { return vec2<f32>(d.x * f32(extractBits(bitcast<i32>(word), 8u * half, 8u)), 0.0); }
    return vec2<f32>(d.x * f32(word & 255u), -d.y * f32((word >> 8u) & 255u));
}

fn low_nibbles(w: u32) -> vec4<f32> {
    return vec4<f32>((vec4<u32>(w) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(15u));
}

fn bytes(w: u32) -> vec4<f32> {
    if (SIGNED) { return vec4<f32>((vec4<i32>(bitcast<i32>(w)) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u)); }
    return vec4<f32>((vec4<u32>(w) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u));
}

// Without an offset of their own, values leave their scale to `load_block`'s caller: once per block instead of per value.
fn value(q: vec4<f32>, a: vec2<f32>) -> vec4<f32> {
    if (OFFSET) { return q * a.x + a.y; }
    if (NIBBLES) { return q - 8.0; }
    return q;
}

// Dequantises block `kb` of row `n` into `values`, up to the factor that it returns.
fn load_block(kb: u32, n: u32) -> f32 {
    let w = blocks[kb * params.rows + n];
    if (WEIGHT_TYPE == 0u) {
        values[0] = bitcast<vec4<f32>>(w);
        return 1.0;
    } else if (WEIGHT_TYPE == 1u) {
        values[0] = vec4<f32>(unpack2x16float(w.x), unpack2x16float(w.y));
        values[1] = vec4<f32>(unpack2x16float(w.z), unpack2x16float(w.w));
        return 1.0;
    } else if (NIBBLES) {
        let a = scale_offset(kb, 0u, n);
        values[0] = value(low_nibbles(w.x), a);
        values[1] = value(low_nibbles(w.y), a);
        values[2] = value(low_nibbles(w.z), a);
        values[3] = value(low_nibbles(w.w), a);
        values[4] = value(low_nibbles(w.x >> 4u), a);
        values[5] = value(low_nibbles(w.y >> 4u), a);
        values[6] = value(low_nibbles(w.z >> 4u), a);
        values[7] = value(low_nibbles(w.w >> 4u), a);
        return select(a.x, 1.0, OFFSET);
    }
    let a = scale_offset(kb >> 1u, kb & 1u, n);
    values[0] = value(bytes(w.x), a);
    values[1] = value(bytes(w.y), a);
    values[2] = value(bytes(w.z), a);
    values[3] = value(bytes(w.w), a);
    return select(a.x, 1.0, OFFSET);
}

fn part_dot(at: u32) -> f32 {
    var sum = dot(x[at], values[0]);
    if (PARTS >= 2u) { sum += dot(x[at + 1u], values[1]); }
    if (PARTS >= 4u) { sum += dot(x[at + 2u], values[2]) + dot(x[at + 3u], values[3]); }
    if (PARTS >= 8u) {
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
