//! Pooling as layers; they have no parameters, so they need no place in the store. One
//! that is given a place is called by its path in errors and by observers, else by its kind.

use candle_core::Result;
use cnn_kernels as kernels;

use crate::{Builder, Context, FeatureMap, Layer, LayerKind, Padding, Window};

/// The largest value under each window; see [`cnn_kernels::max_pool`].
#[derive(Debug, Clone)]
pub struct MaxPool2d {
    path: String,
    window: Window,
}

impl MaxPool2d {
    /// A square window that moves by `stride`, without padding.
    pub fn new(kernel_size: usize, stride: usize) -> Self {
        Self::with_window(Window {
            stride: [stride; 2],
            ..Window::new([kernel_size; 2])
        })
    }

    /// Any window.
    pub fn with_window(window: Window) -> Self {
        Self {
            path: LayerKind::MaxPool { window }.name().to_string(),
            window,
        }
    }

    /// The same under the builder's path, by which errors and observers call it.
    #[must_use]
    pub fn at(mut self, builder: &Builder) -> Self {
        self.path = builder.path().to_string();
        self
    }

    /// The same with padding, which never wins.
    pub fn with_padding(mut self, padding: Padding) -> Self {
        self.window.padding = padding;
        self
    }

    /// The same with windows counted that reach beyond the input.
    pub fn with_ceil_mode(mut self) -> Self {
        self.window.ceil_mode = true;
        self
    }
}

impl Layer for MaxPool2d {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let compute = || kernels::max_pool(xs, &self.window);
        let kind = LayerKind::MaxPool {
            window: self.window,
        };
        cx.layer(&self.path, kind, &[xs.into()], compute)
    }
}

/// The average under each window; see [`cnn_kernels::avg_pool`].
#[derive(Debug, Clone)]
pub struct AvgPool2d {
    path: String,
    window: Window,
    count_include_pad: bool,
}

impl AvgPool2d {
    /// A square window that moves by `stride`, without padding.
    pub fn new(kernel_size: usize, stride: usize) -> Self {
        let window = Window {
            stride: [stride; 2],
            ..Window::new([kernel_size; 2])
        };
        Self::with_window(window, true)
    }

    /// Any window; `count_include_pad` says whether zeros of the padding count in the average.
    pub fn with_window(window: Window, count_include_pad: bool) -> Self {
        let kind = LayerKind::AvgPool {
            window,
            count_include_pad,
        };
        Self {
            path: kind.name().to_string(),
            window,
            count_include_pad,
        }
    }

    /// The same under the builder's path, by which errors and observers call it.
    #[must_use]
    pub fn at(mut self, builder: &Builder) -> Self {
        self.path = builder.path().to_string();
        self
    }
}

impl Layer for AvgPool2d {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let compute = || kernels::avg_pool(xs, &self.window, self.count_include_pad);
        let kind = LayerKind::AvgPool {
            window: self.window,
            count_include_pad: self.count_include_pad,
        };
        cx.layer(&self.path, kind, &[xs.into()], compute)
    }
}

macro_rules! sized_layer {
    ($(#[$doc:meta])* $name:ident, $kind:ident, $kernel:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name {
            path: String,
            output: [usize; 2],
        }

        impl $name {
            /// The layer with outputs of `[rows, columns]`.
            pub fn new(output: [usize; 2]) -> Self {
                let kind = LayerKind::$kind { output };
                Self { path: kind.name().to_string(), output }
            }

            /// The same under the builder's path, by which errors and observers call it.
            #[must_use]
            pub fn at(mut self, builder: &Builder) -> Self {
                self.path = builder.path().to_string();
                self
            }
        }

        impl Layer for $name {
            fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
                let kind = LayerKind::$kind { output: self.output };
                cx.layer(&self.path, kind, &[xs.into()], || $kernel(xs, self.output))
            }
        }
    };
}

sized_layer! {
    /// The average of each of rows × columns bins; see [`cnn_kernels::adaptive_avg_pool`].
    AdaptiveAvgPool2d, AdaptiveAvgPool, kernels::adaptive_avg_pool
}
sized_layer! {
    /// The maximum of each of rows × columns bins; see [`cnn_kernels::adaptive_max_pool`].
    AdaptiveMaxPool2d, AdaptiveMaxPool, kernels::adaptive_max_pool
}

macro_rules! global_layer {
    ($(#[$doc:meta])* $name:ident, $kind:ident, $kernel:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name {
            path: String,
        }

        impl $name {
            /// The layer.
            pub fn new() -> Self {
                Self { path: LayerKind::$kind.name().to_string() }
            }

            /// The same under the builder's path, by which errors and observers call it.
            #[must_use]
            pub fn at(mut self, builder: &Builder) -> Self {
                self.path = builder.path().to_string();
                self
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }

        impl Layer for $name {
            fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
                cx.layer(&self.path, LayerKind::$kind, &[xs.into()], || $kernel(xs))
            }
        }
    };
}

global_layer! {
    /// The mean of each map (Lin et al. 2013): `(N, H, W, C)` to `(N, 1, 1, C)`.
    GlobalAvgPool2d, GlobalAvgPool, kernels::global_avg_pool
}
global_layer! {
    /// The maximum of each map: `(N, H, W, C)` to `(N, 1, 1, C)`.
    GlobalMaxPool2d, GlobalMaxPool, kernels::global_max_pool
}
