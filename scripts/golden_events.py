"""Prints the bytes of src/tensorboard/tests.rs as the protocol buffers of the
PyPI package `tensorboard` serialize them, in hexadecimal.

    python scripts/golden_events.py
"""

from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c


def show(name, content):
    print(name, content.hex())


def frame(content):
    length = len(content).to_bytes(8, "little")
    checksum = lambda data: masked_crc32c(data).to_bytes(4, "little")
    return length + checksum(length) + content + checksum(content)


show("frame of abc", frame(b"abc"))
show("frame of nothing", frame(b""))
event = lambda step, **what: event_pb2.Event(wall_time=1.5, step=step, **what).SerializeToString()
show("version", event(0, file_version="brain.Event:2"))
start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
show("session", event(300, session_log=start))
value = lambda tag, number: summary_pb2.Summary.Value(tag=tag, simple_value=number)
values = [value("train/loss", 0.5), value("validation/ndcg@10", 0.25)]
show("scalars", event(7, summary=summary_pb2.Summary(value=values)))
text = tensor_pb2.TensorProto(
    dtype=7, tensor_shape=tensor_shape_pb2.TensorShapeProto(), string_val=[b"# seed"]
)
metadata = summary_pb2.SummaryMetadata(
    plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name="text"), data_class=2
)
value = summary_pb2.Summary.Value(tag="config", tensor=text, metadata=metadata)
show("text", event(0, summary=summary_pb2.Summary(value=[value])))
