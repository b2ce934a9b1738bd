// out[m, first + n] = f(Σ_k x[m, k] · w[n, k] + bias[first + n] + out[m, first + n]), for GPUs with byte dot products
// Rounding: activations become bytes times a scale, for every row and group of 32. Sums of a group are exact.
// Shapes, weights, parameters and bindings: as matmul.wgsl, without f32 and f16 weights.
// Grid: (rows / COLS, M / ROWS). A workgroup computes a tile of ROWS × COLS, an invocation 8 rows × 4 columns of it in
//   registers: twice as many sums would need more than half of the registers that a compiler may use.
//   For every group the operands pass through workgroup memory as bytes: rows are rounded, columns copied. Per group an
//   invocation reads 24 vec4, computes 256 dot products of four bytes, and scales 32 sums. Constant indices need no
//   clamp.
// Bank conflicts: none. Neighbouring invocations read neighbouring vec4 (columns), or the same one (rows).
// Bytes moved: the weights M / ROWS times, x rows / COLS times, out once.
// Workgroup memory: 40 · ROWS + 44 · COLS bytes, 8 KiB for 64 × 128; two barriers per group.
// Limits: as matmul.wgsl; K a multiple of 32; ROWS and COLS multiples of 8; ROWS · COLS / 32 invocations, at most 256.
// Twin: matmul::reference, up to the rounding, which cpu/matmul.rs shares.   Joined with: call, weight, epilogue, tile.
// Source: ggml's mul_mat_q.
const WEIGHT_TYPE: u32 = 3u; // 2 and above, as in shared/weight.wgsl
const ROWS: u32 = 64u;
const COLS: u32 = 64u;

const LANES: u32 = ROWS * COLS / 32u;
const CENTRED: bool = WEIGHT_TYPE == 3u; // q − 8 is stored in place of q: no offset is left

// Values 0 to 15 of a group of every row or column, then values 16 to 31; four bytes in a word.
var<workgroup> x_tile: array<array<array<array<vec4<u32>, 2>, 4>, ROW_QUADS / 2u>, 2>; // [which quad][quad][row][half]
var<workgroup> w_tile: array<array<array<vec4<u32>, COL_QUADS>, 2>, 4>; // [column][half][quad]
var<workgroup> x_scales: array<array<vec4<f32>, ROW_QUADS / 2u>, 2>;
var<workgroup> x_sums: array<array<vec4<f32>, ROW_QUADS / 2u>, 2>; // scale · Σ bytes
var<workgroup> low_scales: array<vec4<f32>, COL_QUADS>;
var<workgroup> high_scales: array<vec4<f32>, COL_QUADS>;
var<workgroup> offsets: array<vec4<f32>, COL_QUADS>;
// Four columns of a group: low and high halves, the scales of both, offsets.
var<private> low: array<vec4<u32>, 4>;
var<private> high: array<vec4<u32>, 4>;
var<private> low_scale: vec4<f32>;
var<private> high_scale: vec4<f32>;
var<private> offset: vec4<f32>;

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
    let first = largest(vec4<f32>(largest(a0), largest(a1), largest(a2), largest(a3)));
    let top = max(first, largest(vec4<f32>(largest(a4), largest(a5), largest(a6), largest(a7))));
    // The inverse of a smaller value would not be finite.
    let inverse = select(0.0, 127.0 / top, top > 1e-35);
    let values = vec4<u32>(rounded(a0, inverse), rounded(a1, inverse), rounded(a2, inverse), rounded(a3, inverse));
    let more = vec4<u32>(rounded(a4, inverse), rounded(a5, inverse), rounded(a6, inverse), rounded(a7, inverse));
    let side = row / (ROWS / 2u);
    let quad = row / 4u % (ROW_QUADS / 2u);
    x_tile[side][quad][row % 4u][0] = values;
    x_tile[side][quad][row % 4u][1] = more;
    x_scales[side][quad][row % 4u] = top / 127.0;
    if (OFFSET && !CENTRED) { x_sums[side][quad][row % 4u] = top / 127.0 * f32(sum(values) + sum(more)); }
}

// Returns half a group of a column as bytes, centred where that leaves no offset.
fn column_bytes(group: u32, half: u32, row: u32) -> vec4<u32> {
    let q = half_bytes(group, half, row);
    if (CENTRED) { return ((q | vec4<u32>(0x80808080u)) - 0x08080808u) ^ vec4<u32>(0x80808080u); }
    return q;
}

// Loads a group of a column. Columns past the end repeat the last one.
fn load_w(column: u32, group: u32, n: u32) {
    let row = params.plane_first + min(n + column, params.rows - 1u);
    let within = column / COL_QUADS;
    let quad = column % COL_QUADS;
    w_tile[within][0][quad] = column_bytes(group, 0u, row);
    w_tile[within][1][quad] = column_bytes(group, 1u, row);
    let a = scale_offset(group, 0u, row);
    low_scales[quad][within] = a.x;
    if (HALF_SCALES) { high_scales[quad][within] = scale_offset(group, 1u, row).x; }
    if (OFFSET && !CENTRED) { offsets[quad][within] = a.y; }
}

fn read_columns(c: u32) {
    for (var i = 0u; i < 4u; i++) {
        low[i] = w_tile[i][0][c];
        high[i] = w_tile[i][1][c];
    }
    low_scale = low_scales[c];
    if (HALF_SCALES) { high_scale = high_scales[c]; }
    if (OFFSET && !CENTRED) { offset = offsets[c]; }
}

// Adds to `sum` the dot product of 16 bytes.
fn dot16(sum: i32, a: vec4<u32>, b: vec4<u32>) -> i32 {
    return sum + dot4I8Packed(a.x, b.x) + dot4I8Packed(a.y, b.y) + dot4I8Packed(a.z, b.z) + dot4I8Packed(a.w, b.w);
}

fn dots(sums: vec4<i32>, a: vec4<u32>, w: array<vec4<u32>, 4>) -> vec4<i32> {
    return vec4<i32>(dot16(sums.x, a, w[0]), dot16(sums.y, a, w[1]), dot16(sums.z, a, w[2]), dot16(sums.w, a, w[3]));
}

// Returns a group of a row times the four columns.
fn product(a: array<vec4<u32>, 2>, scale: f32) -> vec4<f32> {
    let sums = dots(vec4<i32>(0), a[0], low);
    if (HALF_SCALES) {
        return vec4<f32>(sums) * (low_scale * scale) + vec4<f32>(dots(vec4<i32>(0), a[1], high)) * (high_scale * scale);
    }
    return vec4<f32>(dots(sums, a[1], high)) * (low_scale * scale);
}

fn add_products(s: ptr<private, mat4x4<f32>>, a: array<array<vec4<u32>, 2>, 4>, scale: vec4<f32>) {
    (*s)[0] += product(a[0], scale.x);
    (*s)[1] += product(a[1], scale.y);
    (*s)[2] += product(a[2], scale.z);
    (*s)[3] += product(a[3], scale.w);
}

fn outer(a: vec4<f32>, b: vec4<f32>) -> mat4x4<f32> { return mat4x4<f32>(b * a.x, b * a.y, b * a.z, b * a.w); }

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let m_rows = rows_of(params.m);
    let m = group.y * ROWS;
    let n = group.x * COLS;
    let q = lane / COL_QUADS;
    let c = lane % COL_QUADS;
    for (var g = 0u; g < params.k / 32u; g++) {
        // From both ends: with enough invocations, each loads a row or a column, not both.
        for (var i = lane; i < ROWS; i += LANES) { load_x(i, g, m, m_rows); }
        for (var i = LANES - 1u - lane; i < COLS; i += LANES) { load_w(i, g, n); }
        workgroupBarrier();
        // With few rows, whole subgroups have none of their own.
        if (m + 4u * q < m_rows) {
            read_columns(c);
            add_products(&s00, x_tile[0][q], x_scales[0][q]);
            add_products(&s10, x_tile[1][q], x_scales[1][q]);
            if (OFFSET && !CENTRED) {
                s00 += outer(x_sums[0][q], offset);
                s10 += outer(x_sums[1][q], offset);
            }
        }
        workgroupBarrier();
    }
    let columns = quad_columns(n + c);
    store(m + 4u * q, m_rows, columns, s00);
    store(m + 4u * q + ROWS / 2u, m_rows, columns, s10);
}
