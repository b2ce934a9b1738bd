// out[m, first + n] = f(Σ_k x[m, k] · w[n, k] + bias[first + n] + out[m, first + n]), for GPUs with byte dot products
// Rounding: activations become bytes times a scale, for every row and group of 32. Sums of a group are exact.
// Shapes, weights, parameters and bindings: as matmul.wgsl, without f32 and f16 weights.
// Grid: (rows / COLS, M / ROWS). A workgroup computes a tile of ROWS × COLS, an invocation 8 × 8 of it in registers.
//   For every group the operands pass through workgroup memory as bytes: rows are rounded, columns copied. Per group an
//   invocation reads 48 vec4, computes 512 dot products of four bytes, and scales 64 sums.
// Bank conflicts: none. Neighbouring invocations read neighbouring vec4 (columns), or the same one (rows).
// Bytes moved: the weights M / ROWS times, x rows / COLS times, out once.
// Workgroup memory: 40 · ROWS + 48 · COLS bytes, 8.5 KiB for 64 × 128; two barriers per group.
// Limits: as matmul.wgsl; K a multiple of 32; ROWS and COLS multiples of 8; ROWS · COLS / 64 invocations, at most 256.
// Twin: matmul::reference, up to the rounding, which cpu/matmul.rs shares.   Joined with: call, weight, epilogue, tile.
// Source: ggml's mul_mat_q.
const WEIGHT_TYPE: u32 = 3u; // 2 and above, as in shared/weight.wgsl
const ROWS: u32 = 64u;
const COLS: u32 = 128u;

// Values 0 to 15 of a group of every row or column, then values 16 to 31; four bytes in a word.
var<workgroup> x_tile: array<vec4<u32>, 2u * ROWS>;
var<workgroup> w_tile: array<vec4<u32>, 2u * COLS>;
var<workgroup> x_scales: array<vec2<f32>, ROWS>; // scale, and scale · Σ bytes
var<workgroup> w_scales: array<vec3<f32>, COLS>; // scales of both halves, offset
// Four columns of a group: low and high halves, the scales of both, offsets.
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

fn rounded(a: vec4<f32>, inverse: f32) -> u32 {
    return pack4xI8(vec4<i32>(round(a * inverse)));
}

fn sum(a: vec4<u32>) -> i32 {
    let ones = 0x01010101u;
    return dot4I8Packed(a.x, ones) + dot4I8Packed(a.y, ones) + dot4I8Packed(a.z, ones) + dot4I8Packed(a.w, ones);
}

// Rounds a group of a row to bytes. Rows past the end repeat the last one.
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
    // The inverse of a smaller value would not be finite.
    let inverse = select(0.0, 127.0 / top, top > 1e-35);
    let values = vec4<u32>(rounded(a0, inverse), rounded(a1, inverse), rounded(a2, inverse), rounded(a3, inverse));
    let more = vec4<u32>(rounded(a4, inverse), rounded(a5, inverse), rounded(a6, inverse), rounded(a7, inverse));
    x_tile[row] = values;
    x_tile[ROWS + row] = more;
    x_scales[row] = top / 127.0 * vec2<f32>(1.0, f32(sum(values) + sum(more)));
}

// Loads a group of a column. Columns past the end repeat the last one.
fn load_w(column: u32, group: u32, n: u32) {
    let row = params.plane_first + min(n + column, params.rows - 1u);
    w_tile[column] = half_bytes(group, 0u, row);
    w_tile[COLS + column] = half_bytes(group, 1u, row);
    let a = scale_offset(group, 0u, row);
    let high = select(a.x, scale_offset(group, 1u, row).x, HALF_SCALES);
    w_scales[column] = vec3<f32>(a.x, high, a.y);
}

fn read_columns(first: u32) {
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

// Returns a group of a row times the four columns.
fn product(row: u32) -> vec4<f32> {
    let scale = x_scales[row];
    let low = dots(x_tile[row], low0, low1, low2, low3);
    let high = dots(x_tile[ROWS + row], high0, high1, high2, high3);
    var y: vec4<f32>;
    if (HALF_SCALES) {
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

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let m_rows = rows_of(params.m);
    let m = group.y * ROWS;
    let n = group.x * COLS;
    let row0 = 4u * (lane / (COL_QUADS / 2u));
    let row1 = row0 + ROWS / 2u;
    let column0 = lane % (COL_QUADS / 2u);
    let column1 = column0 + COL_QUADS / 2u;
    for (var g = 0u; g < params.k / 32u; g++) {
        // From both ends: with enough invocations, each loads a row or a column, not both.
        for (var i = lane; i < ROWS; i += INVOCATIONS) { load_x(i, g, m, m_rows); }
        for (var i = INVOCATIONS - 1u - lane; i < COLS; i += INVOCATIONS) { load_w(i, g, n); }
        workgroupBarrier();
        // With few rows, whole subgroups have none of their own.
        if (m + row0 < m_rows) {
            let both = m + row1 < m_rows;
            read_columns(column0);
            s00 += products(row0);
            if (both) { s10 += products(row1); }
            read_columns(column1);
            s01 += products(row0);
            if (both) { s11 += products(row1); }
        }
        workgroupBarrier();
    }
    store_tile(m + row0, m_rows, n + column0);
}
