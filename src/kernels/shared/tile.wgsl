// A workgroup's tile of a product, ROWS × COLS. An invocation owns 8 × 8 of its sums: two row quads times two column
//   quads. The rows of a quad are neighbours. Its columns lie COL_QUADS apart, so that neighbouring invocations read
//   neighbouring columns of w and store neighbouring elements of out.
// The shader declares ROWS and COLS, and is joined with epilogue.wgsl.
const ROW_QUADS: u32 = ROWS / 4u;
const COL_QUADS: u32 = COLS / 4u;
const INVOCATIONS: u32 = ROWS * COLS / 64u;

// Sums of row quads 0 and 1 times column quads 0 and 1; a column of a matrix is a row of the product.
var<private> s00: mat4x4<f32>;
var<private> s01: mat4x4<f32>;
var<private> s10: mat4x4<f32>;
var<private> s11: mat4x4<f32>;

fn quad_columns(n: u32) -> vec4<u32> { return vec4<u32>(n) + vec4<u32>(0u, COL_QUADS, 2u * COL_QUADS, 3u * COL_QUADS); }

// Returns the rows of the planes that hold the columns of quad n. Columns past the end repeat the last one.
fn quad_weights(n: u32) -> vec4<u32> { return params.plane_first + min(quad_columns(n), vec4<u32>(params.rows - 1u)); }

// Returns the largest magnitude of four values.
fn largest(a: vec4<f32>) -> f32 {
    let b = max(abs(a.xy), abs(a.zw));
    return max(b.x, b.y);
}

// Stores the sums of an invocation whose first row quad is m and whose first column quad is n.
fn store_tile(m: u32, m_rows: u32, n: u32) {
    let columns0 = quad_columns(n);
    let columns1 = quad_columns(n + COL_QUADS / 2u);
    store(m, m_rows, columns0, s00);
    store(m, m_rows, columns1, s01);
    store(m + ROWS / 2u, m_rows, columns0, s10);
    store(m + ROWS / 2u, m_rows, columns1, s11);
}
