// out[m, first + n] = f(Σ_k x[m, k] · w[n, k] + bias[first + n] + out[m, first + n]), for GPUs that multiply f16 faster
// Rounding: activations of half a group of 32 are divided by their largest magnitude and rounded to f16; quantised
//   weights enter as the integers q − CENTRE. Sums of half a group are f16, sums of groups f32: nothing overflows or
//   vanishes.
// Shapes, weights, parameters and bindings: as matmul.wgsl, without f32 and f16 weights.
// Grid: (rows / COLS, M / ROWS). A workgroup computes a tile of ROWS × COLS, an invocation 8 × 8 of it in registers.
//   For every group the operands pass through workgroup memory: rows are scaled, columns transposed so that k is
//   outermost. Per two k an invocation reads 12 vec4 and performs 128 multiply-adds, two in an instruction. For that a
//   value of x is stored twice: compilers would copy it before every use. Half a group is unrolled: a loop would keep
//   every f16 in a register of its own. Indices that are constant need no clamp.
// Bank conflicts: none of reads. Neighbouring invocations read neighbouring pairs of vec4 (columns), or the same (rows)
// Bytes moved: the weights M / ROWS times, x rows / COLS times, out once.
// Workgroup memory: 144 · ROWS + 76 · COLS bytes, 13.8 KiB for 64 × 64; two barriers per group.
// Limits: as matmul.wgsl; K a multiple of 32; ROWS and COLS multiples of 8; ROWS · COLS / 64 invocations, at most 256.
// Twin: matmul::reference, up to the rounding.   Joined with: call, weight, epilogue, tile.
enable f16;
const WEIGHT_TYPE: u32 = 3u; // 2 and above, as in shared/weight.wgsl
const ROWS: u32 = 64u;
const COLS: u32 = 64u;

// [half][pair of k][which half of the quads][quad][which k of the pair], of x [rows 0 and 1, or 2 and 3]
var<workgroup> x_tile: array<array<array<array<array<array<vec4<f16>, 2>, 2>, ROW_QUADS / 2u>, 2>, 8>, 2>;
var<workgroup> w_tile: array<array<array<array<array<vec4<f16>, 2>, COL_QUADS / 2u>, 2>, 8>, 2>;
var<workgroup> x_scales: array<array<array<vec4<f32>, ROW_QUADS / 2u>, 2>, 2>; // as x_tile
var<workgroup> x_sums: array<array<array<vec4<f32>, ROW_QUADS / 2u>, 2>, 2>; // scale · Σ
var<workgroup> w_scales: array<array<array<vec4<f32>, COL_QUADS / 2u>, 2>, 2>; // as w_tile
var<workgroup> offsets: array<array<vec4<f32>, COL_QUADS / 2u>, 2>;
// Sums of half a group, as s00 to s11 are of all groups.
var<private> h00: mat4x4<f16>;
var<private> h01: mat4x4<f16>;
var<private> h10: mat4x4<f16>;
var<private> h11: mat4x4<f16>;

// Returns the first place in x of half a group of a row. Rows past the end repeat the last one.
fn place(row: u32, half: u32, group: u32, m_rows: u32) -> u32 {
    return min(row, m_rows - 1u) * (params.k / 4u) + 8u * group + 4u * half;
}

// Returns the largest magnitude of half a group of a row.
fn largest_of(at: u32) -> f32 {
    return largest(vec4<f32>(largest(x[at]), largest(x[at + 1u]), largest(x[at + 2u]), largest(x[at + 3u])));
}

// Loads half a group of two rows.
fn load_x(pair: u32, half: u32, group: u32, m: u32, m_rows: u32) {
    let at0 = place(m + 2u * pair, half, group, m_rows);
    let at1 = place(m + 2u * pair + 1u, half, group, m_rows);
    let top = vec2<f32>(largest_of(at0), largest_of(at1));
    // The inverse of a smaller value would not be finite.
    let inverse = select(vec2<f32>(0.0), 1.0 / top, top > vec2<f32>(1e-35));
    let quad = pair / 2u;
    let side = quad / (ROW_QUADS / 2u);
    let within = quad % (ROW_QUADS / 2u);
    var sum = vec2<f32>(0.0);
    for (var part = 0u; part < 4u; part++) {
        let a = vec4<f16>(x[at0 + part] * inverse.x);
        let b = vec4<f16>(x[at1 + part] * inverse.y);
        sum += vec2<f32>(dot(vec4<f32>(a), vec4<f32>(1.0)), dot(vec4<f32>(b), vec4<f32>(1.0)));
        x_tile[half][2u * part][side][within][0][pair % 2u] = vec4<f16>(a.xx, b.xx);
        x_tile[half][2u * part][side][within][1][pair % 2u] = vec4<f16>(a.yy, b.yy);
        x_tile[half][2u * part + 1u][side][within][0][pair % 2u] = vec4<f16>(a.zz, b.zz);
        x_tile[half][2u * part + 1u][side][within][1][pair % 2u] = vec4<f16>(a.ww, b.ww);
    }
    let first = pair % 2u * 2u;
    x_scales[half][side][within][first] = top.x;
    x_scales[half][side][within][first + 1u] = top.y;
    x_sums[half][side][within][first] = top.x * sum.x;
    x_sums[half][side][within][first + 1u] = top.y * sum.y;
}

// Returns the four centred q of a part of row n of the planes.
fn weights(part: u32, n: u32) -> vec4<f16> { return vec4<f16>(row_quants(part, n) - CENTRE); }

fn load_w_part(quad: u32, half: u32, part: u32, group: u32, row: vec4<u32>) {
    let at = group * 8u + 4u * half + part;
    let turned = transpose(mat4x4<f16>(weights(at, row.x), weights(at, row.y), weights(at, row.z), weights(at, row.w)));
    let side = quad / (COL_QUADS / 2u);
    let within = quad % (COL_QUADS / 2u);
    w_tile[half][2u * part][side][within][0] = turned[0];
    w_tile[half][2u * part][side][within][1] = turned[1];
    w_tile[half][2u * part + 1u][side][within][0] = turned[2];
    w_tile[half][2u * part + 1u][side][within][1] = turned[3];
}

// Returns scales and offsets of half a group of four columns.
fn scale_offsets(group: u32, half: u32, row: vec4<u32>) -> mat2x4<f32> {
    return transpose(mat4x2<f32>(
        scale_offset(group, half, row.x),
        scale_offset(group, half, row.y),
        scale_offset(group, half, row.z),
        scale_offset(group, half, row.w),
    ));
}

// Loads a part of both halves of a column quad, which of nibbles are in the same word; the first also loads the scales.
fn load_w(quad: u32, part: u32, group: u32, n: u32) {
    let row = quad_weights(n + quad);
    load_w_part(quad, 0u, part, group, row);
    load_w_part(quad, 1u, part, group, row);
    if (part != 0u) { return; }
    let side = quad / (COL_QUADS / 2u);
    let within = quad % (COL_QUADS / 2u);
    let low = scale_offsets(group, 0u, row);
    w_scales[0][side][within] = low[0];
    offsets[side][within] = low[1] + CENTRE * low[0];
    if (HALF_SCALES) { w_scales[1][side][within] = scale_offsets(group, 1u, row)[0]; }
}

// A column per row: two rows twice each, and two more.
fn outer_f16(a: vec4<f16>, b: vec4<f16>, w: vec4<f16>) -> mat4x4<f16> {
    return mat4x4<f16>(w * a.xyxy, w * a.zwzw, w * b.xyxy, w * b.zwzw);
}

fn multiply(half: u32, pair: u32, q: u32, c: u32) {
    let w0 = &w_tile[half][pair][0][c];
    let w1 = &w_tile[half][pair][1][c];
    let x0 = &x_tile[half][pair][0][q];
    h00 += outer_f16(x0[0][0], x0[0][1], w0[0]);
    h01 += outer_f16(x0[0][0], x0[0][1], w1[0]);
    h00 += outer_f16(x0[1][0], x0[1][1], w0[1]);
    h01 += outer_f16(x0[1][0], x0[1][1], w1[1]);
    let x1 = &x_tile[half][pair][1][q];
    h10 += outer_f16(x1[0][0], x1[0][1], w0[0]);
    h11 += outer_f16(x1[0][0], x1[0][1], w1[0]);
    h10 += outer_f16(x1[1][0], x1[1][1], w0[1]);
    h11 += outer_f16(x1[1][0], x1[1][1], w1[1]);
}

fn add_scaled(s: ptr<private, mat4x4<f32>>, h: ptr<private, mat4x4<f16>>, rows: vec4<f32>, columns: vec4<f32>) {
    (*s)[0] += vec4<f32>((*h)[0]) * (rows.x * columns);
    (*s)[1] += vec4<f32>((*h)[1]) * (rows.y * columns);
    (*s)[2] += vec4<f32>((*h)[2]) * (rows.z * columns);
    (*s)[3] += vec4<f32>((*h)[3]) * (rows.w * columns);
}

fn outer(a: vec4<f32>, b: vec4<f32>) -> mat4x4<f32> { return mat4x4<f32>(b * a.x, b * a.y, b * a.z, b * a.w); }

// Adds the products of half a group of row quads q and column quads c.
fn add_products(half: u32, q: u32, c: u32) {
    h00 = mat4x4<f16>();
    h01 = mat4x4<f16>();
    h10 = mat4x4<f16>();
    h11 = mat4x4<f16>();
    multiply(half, 0u, q, c);
    multiply(half, 1u, q, c);
    multiply(half, 2u, q, c);
    multiply(half, 3u, q, c);
    multiply(half, 4u, q, c);
    multiply(half, 5u, q, c);
    multiply(half, 6u, q, c);
    multiply(half, 7u, q, c);
    let scales = &w_scales[select(0u, half, HALF_SCALES)];
    let w0 = scales[0][c];
    let w1 = scales[1][c];
    let x0 = x_scales[half][0][q];
    add_scaled(&s00, &h00, x0, w0);
    add_scaled(&s01, &h01, x0, w1);
    let x1 = x_scales[half][1][q];
    add_scaled(&s10, &h10, x1, w0);
    add_scaled(&s11, &h11, x1, w1);
}

fn add_offsets(q: u32, c: u32) {
    let x0 = x_sums[0][0][q] + x_sums[1][0][q];
    let x1 = x_sums[0][1][q] + x_sums[1][1][q];
    s00 += outer(x0, offsets[0][c]);
    s01 += outer(x0, offsets[1][c]);
    s10 += outer(x1, offsets[0][c]);
    s11 += outer(x1, offsets[1][c]);
}

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let m_rows = rows_of(params.m);
    let m = group.y * ROWS;
    let n = group.x * COLS;
    let q = lane / (COL_QUADS / 2u);
    let c = lane % (COL_QUADS / 2u);
    for (var g = 0u; g < params.k / 32u; g++) {
        for (var i = lane; i < ROWS; i += INVOCATIONS) { load_x(i % (ROWS / 2u), i / (ROWS / 2u), g, m, m_rows); }
        for (var i = lane; i < COLS; i += INVOCATIONS) { load_w(i % COL_QUADS, i / COL_QUADS, g, n); }
        workgroupBarrier();
        // With few rows, whole subgroups have none of their own.
        if (m + 4u * q < m_rows) {
            for (var half = 0u; half < 2u; half++) { add_products(half, q, c); }
            if (OFFSET) { add_offsets(q, c); }
        }
        workgroupBarrier();
    }
    store_tile(m + 4u * q, m_rows, n + c);
}
