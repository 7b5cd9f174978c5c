//! Matrix multiplication on slices, over the `gemm` crate; the one place with `unsafe`.

use crate::autograd::element::Element;

/// A view of a matrix in a slice: element `(i, j)` is `data[i * row_stride + j * column_stride]`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, T> {
    pub(crate) data: &'a [T],
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) row_stride: usize,
    pub(crate) column_stride: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// A row-major matrix whose rows are `row_stride` apart.
    pub(crate) fn new(data: &'a [T], rows: usize, columns: usize, row_stride: usize) -> Self {
        Self {
            data,
            rows,
            columns,
            row_stride,
            column_stride: 1,
        }
    }

    /// The same elements with rows and columns exchanged.
    pub(crate) fn transposed(self) -> Self {
        Self {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }

    fn extent(&self) -> usize {
        match (self.rows, self.columns) {
            (0, _) | (_, 0) => 0,
            (rows, columns) => {
                (rows - 1) * self.row_stride + (columns - 1) * self.column_stride + 1
            }
        }
    }
}

/// `out = lhs · rhs`, or `out += lhs · rhs` with `accumulate`; `out` is row-major, its rows
/// `out_row_stride` apart. Runs on the calling thread, so its result does not depend on how many
/// there are.
///
/// # Panics
/// If the shapes do not agree: kernels compute them from a checked geometry.
#[allow(unsafe_code)]
pub(crate) fn gemm<T: Element>(
    out: &mut [T],
    out_row_stride: usize,
    lhs: Matrix<T>,
    rhs: Matrix<T>,
    accumulate: bool,
) {
    let m = lhs.rows;
    let n = rhs.columns;
    let k = lhs.columns;
    assert_eq!(k, rhs.rows, "inner dimensions");
    assert!(
        lhs.extent() <= lhs.data.len() && rhs.extent() <= rhs.data.len(),
        "matrix views stay in their slices"
    );
    let out_extent = if m == 0 || n == 0 {
        0
    } else {
        (m - 1) * out_row_stride + n
    };
    assert!(
        out_row_stride >= n && out_extent <= out.len(),
        "output rows stay apart and in their slice"
    );
    // SAFETY: the assertions above bound every index that the strides can reach inside the three
    // slices, which cannot overlap since `out` is borrowed exclusively; T is f32 or f64, which the
    // crate implements.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            out_row_stride as isize,
            accumulate,
            lhs.data.as_ptr(),
            lhs.column_stride as isize,
            lhs.row_stride as isize,
            rhs.data.as_ptr(),
            rhs.column_stride as isize,
            rhs.row_stride as isize,
            T::one(),
            T::one(),
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposed_views_and_accumulation() {
        let a = [1f64, 2., 3., 4., 5., 6.]; // 2×3
        let b = [1f64, 0., 2., 1., 0., 3.]; // 3×2
        let mut out = [0f64; 4];
        gemm(
            &mut out,
            2,
            Matrix::new(&a, 2, 3, 3),
            Matrix::new(&b, 3, 2, 2),
            false,
        );
        assert_eq!(out, [5., 11., 14., 23.]);
        gemm(
            &mut out,
            2,
            Matrix::new(&a, 2, 3, 3),
            Matrix::new(&b, 3, 2, 2),
            true,
        );
        assert_eq!(out, [10., 22., 28., 46.]);
        let mut square = [0f64; 9];
        gemm(
            &mut square,
            3,
            Matrix::new(&a, 2, 3, 3).transposed(),
            Matrix::new(&a, 2, 3, 3),
            false,
        );
        assert_eq!(square, [17., 22., 27., 22., 29., 36., 27., 36., 45.]);
    }
}
