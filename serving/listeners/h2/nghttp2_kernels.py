"""libnghttp2 by its names (https://nghttp2.org/documentation/): sessions and addresses are numbers (int64)."""

from numba import types

_I, _A, _U, _B = types.int32, types.int64, types.uint32, types.uint8

session_server_new2 = types.ExternalFunction("nghttp2_session_server_new2", _I(_A, _A, _A, _A))
session_del = types.ExternalFunction("nghttp2_session_del", types.void(_A))
session_mem_recv = types.ExternalFunction("nghttp2_session_mem_recv", _A(_A, _A, _A))
session_mem_send = types.ExternalFunction("nghttp2_session_mem_send", _A(_A, _A))
session_want_read = types.ExternalFunction("nghttp2_session_want_read", _I(_A))
session_want_write = types.ExternalFunction("nghttp2_session_want_write", _I(_A))
session_consume_connection = types.ExternalFunction("nghttp2_session_consume_connection", _I(_A, _A))
session_consume_stream = types.ExternalFunction("nghttp2_session_consume_stream", _I(_A, _I, _A))
session_resume_data = types.ExternalFunction("nghttp2_session_resume_data", _I(_A, _I))
session_terminate_session = types.ExternalFunction("nghttp2_session_terminate_session", _I(_A, _U))
session_set_stream_user_data = types.ExternalFunction("nghttp2_session_set_stream_user_data", _I(_A, _I, _A))
session_get_stream_user_data = types.ExternalFunction("nghttp2_session_get_stream_user_data", _A(_A, _I))
session_get_last_proc_stream_id = types.ExternalFunction("nghttp2_session_get_last_proc_stream_id", _I(_A))
session_set_local_window_size = types.ExternalFunction("nghttp2_session_set_local_window_size", _I(_A, _B, _I, _I))
submit_settings = types.ExternalFunction("nghttp2_submit_settings", _I(_A, _B, _A, _A))
submit_response = types.ExternalFunction("nghttp2_submit_response", _I(_A, _I, _A, _A, _A))
submit_trailer = types.ExternalFunction("nghttp2_submit_trailer", _I(_A, _I, _A, _A))
submit_rst_stream = types.ExternalFunction("nghttp2_submit_rst_stream", _I(_A, _B, _I, _U))
submit_ping = types.ExternalFunction("nghttp2_submit_ping", _I(_A, _B, _A))
submit_goaway = types.ExternalFunction("nghttp2_submit_goaway", _I(_A, _B, _I, _U, _A, _A))
submit_shutdown_notice = types.ExternalFunction("nghttp2_submit_shutdown_notice", _I(_A))

DATA, HEADERS, RST_STREAM, PING, GOAWAY, CONTINUATION = 0, 1, 3, 6, 7, 9
END_STREAM, ACK = 0x1, 0x1
REQUEST = 0
"""Category of HEADERS that open a stream."""
DATA_EOF, DATA_NO_END_STREAM = 1, 2
NO_INDEX, NO_COPY_NAME, NO_COPY_VALUE = 1, 2, 4
DEFERRED, TEMPORAL_FAILURE, CALLBACK_FAILURE = -508, -521, -902
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 0, 1, 2, 7, 8, 11
MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_HEADER_LIST_SIZE = 3, 4, 6
NOTICE = 0x656369746F4E
"""Of the PING that goes with a shutdown notice; that of a PING for a sign of life is 0."""
