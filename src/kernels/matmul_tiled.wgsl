// out[m, first + n] = f(Σ_k x[m, k] · w[n, k] + bias[first + n] + out[m, first + n]), by workgroups: for GPUs
// Shapes, weights, parameters and bindings: as matmul.wgsl.
// Grid: (rows / COLS, M / ROWS). A workgroup computes a tile of ROWS × COLS, an invocation 8 × 8 of it in registers.
//   For every STEP of k the operands pass through workgroup memory, dequantised once and transposed so that k is
//   outermost. Per k an invocation reads 4 vec4 and performs 64 multiply-adds. Indices that are constant need no clamp:
//   where UNROLLED, four k are written out. Otherwise a loop takes one k, for GPUs with few registers: Intel's compiler
//   reads the operands of all k that are written out first, and then keeps sums in memory (src/docs/isa.md).
// Bank conflicts: none. Neighbouring invocations read and write neighbouring vec4 (columns), or the same one (rows).
// Bytes moved: the weights M / ROWS times, x rows / COLS times, out once.
// Workgroup memory: 4 · STEP · (ROWS + COLS) bytes, 12 KiB for 64 × 128; two barriers per STEP.
// Limits: as matmul.wgsl; ROWS and COLS multiples of 8; ROWS · COLS / 64 invocations, at most 256.
// Twin: matmul::reference.   Joined with: call, weight, epilogue, tile.
// Source: Volkov & Demmel, "Benchmarking GPUs to tune dense linear algebra", 2008 (register tiles).
const WEIGHT_TYPE: u32 = 3u; // as in shared/weight.wgsl
const ROWS: u32 = 64u;
const COLS: u32 = 128u;
const UNROLLED: u32 = 1u;

const STEP: u32 = 16u;
const STEP_PARTS: u32 = STEP / 4u;

// [part of k][k][which half of the quads][quad]: rows 4i to 4i + 3, columns i, i + COL_QUADS, ..
var<workgroup> x_tile: array<array<array<array<vec4<f32>, ROW_QUADS / 2u>, 2>, 4>, STEP_PARTS>;
var<workgroup> w_tile: array<array<array<array<vec4<f32>, COL_QUADS / 2u>, 2>, 4>, STEP_PARTS>;

// Loads STEP values of ROWS rows. Rows past the end repeat the last one; values past the end of a row are zero.
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
        let half = quad / (ROW_QUADS / 2u);
        let to = quad % (ROW_QUADS / 2u);
        x_tile[within][0][half][to] = turned[0] * exists;
        x_tile[within][1][half][to] = turned[1] * exists;
        x_tile[within][2][half][to] = turned[2] * exists;
        x_tile[within][3][half][to] = turned[3] * exists;
    }
}

// Loads STEP values of COLS columns. Parts past the end of a row repeat the last one.
fn load_w(lane: u32, step: u32, n: u32) {
    for (var i = lane; i < COL_QUADS * STEP_PARTS; i += INVOCATIONS) {
        let quad = i % COL_QUADS;
        let within = i / COL_QUADS;
        let part = min(step * STEP_PARTS + within, params.k / 4u - 1u);
        let row = quad_weights(n + quad);
        let turned = transpose(mat4x4<f32>(
            row_weights(part, row.x),
            row_weights(part, row.y),
            row_weights(part, row.z),
            row_weights(part, row.w),
        ));
        let half = quad / (COL_QUADS / 2u);
        let to = quad % (COL_QUADS / 2u);
        w_tile[within][0][half][to] = turned[0];
        w_tile[within][1][half][to] = turned[1];
        w_tile[within][2][half][to] = turned[2];
        w_tile[within][3][half][to] = turned[3];
    }
}

fn outer(a: vec4<f32>, b: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(b * a.x, b * a.y, b * a.z, b * a.w);
}

// Multiplies row quads q and column quads c, in `both` halves of the rows or in the first.
fn multiply(part: u32, k: u32, q: u32, c: u32, both: bool) {
    let w0 = w_tile[part][k][0][c];
    let w1 = w_tile[part][k][1][c];
    let x0 = x_tile[part][k][0][q];
    s00 += outer(x0, w0);
    s01 += outer(x0, w1);
    if (both) {
        let x1 = x_tile[part][k][1][q];
        s10 += outer(x1, w0);
        s11 += outer(x1, w1);
    }
}

// Multiplies everything that is loaded.
fn multiply_step(q: u32, c: u32, both: bool) {
    if (UNROLLED == 1u) {
        for (var part = 0u; part < STEP_PARTS; part++) {
            multiply(part, 0u, q, c, both);
            multiply(part, 1u, q, c, both);
            multiply(part, 2u, q, c, both);
            multiply(part, 3u, q, c, both);
        }
    } else {
        for (var k = 0u; k < STEP; k++) { multiply(k / 4u, k % 4u, q, c, both); }
    }
}

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let m_rows = rows_of(params.m);
    let m = group.y * ROWS;
    let n = group.x * COLS;
    let q = lane / (COL_QUADS / 2u);
    let c = lane % (COL_QUADS / 2u);
    let m0 = m + 4u * q;
    for (var step = 0u; step < (params.k + STEP - 1u) / STEP; step++) {
        load_x(lane, step, m, m_rows);
        load_w(lane, step, n);
        workgroupBarrier();
        // With few rows, whole subgroups have none of their own.
        if (m0 + ROWS / 2u < m_rows) {
            multiply_step(q, c, true);
        } else if (m0 < m_rows) {
            multiply_step(q, c, false);
        }
        workgroupBarrier();
    }
    store_tile(m0, m_rows, n + c);
}
