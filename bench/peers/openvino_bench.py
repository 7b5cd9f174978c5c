"""Times inference in OpenVINO on the CPU, in f32, with synchronous requests.

    python bench/peers/openvino_bench.py --model resnet18 --batch 8 --json
"""

import openvino
from openvino.properties import hint, inference_num_threads

from detectors import is_detector, suppressed
from onnx_file import images, onnx_file, onnx_parser
from timing import report, time_calls


def main():
    arguments = onnx_parser(__doc__.splitlines()[0]).parse_args()
    options = {
        inference_num_threads: arguments.threads,
        hint.performance_mode: hint.PerformanceMode.LATENCY,
        # Without it OpenVINO computes in bf16 wherever the CPU can.
        hint.inference_precision: openvino.Type.f32,
    }
    request = openvino.Core().compile_model(onnx_file(arguments), "CPU", options).create_infer_request()
    batch = images(arguments)
    request.set_input_tensor(openvino.Tensor(batch, shared_memory=True))
    finish = (lambda outputs: suppressed(arguments.model, *outputs.to_tuple())) if is_detector(arguments.model) else (lambda outputs: outputs)
    times = time_calls(lambda: finish(request.infer(share_outputs=True)), arguments.seconds)
    report(arguments, f"OpenVINO {openvino.__version__.partition('-')[0]}", times)


if __name__ == "__main__":
    main()
