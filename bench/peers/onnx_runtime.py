"""Times inference in ONNX Runtime on the CPU, in f32, with all graph optimisations.

    python bench/peers/onnx_runtime.py --model resnet18 --batch 8 --json
"""

import onnxruntime

from detectors import is_detector, suppressed
from onnx_file import images, onnx_file, onnx_parser
from timing import report, time_calls


def main():
    arguments = onnx_parser(__doc__.splitlines()[0]).parse_args()
    file = onnx_file(arguments)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: images(arguments)}
    finish = (lambda outputs: suppressed(arguments.model, *outputs)) if is_detector(arguments.model) else (lambda outputs: outputs)
    times = time_calls(lambda: finish(session.run(None, feed)), arguments.seconds)
    report(arguments, f"ONNX Runtime {onnxruntime.__version__}", times)


if __name__ == "__main__":
    main()
