import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FactsEvent(_message.Message):
    __slots__ = ("entity_type", "entity_id", "source", "as_of", "sequence", "facts", "monthly_facts")
    ENTITY_TYPE_FIELD_NUMBER: _ClassVar[int]
    ENTITY_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    MONTHLY_FACTS_FIELD_NUMBER: _ClassVar[int]
    entity_type: str
    entity_id: str
    source: str
    as_of: _timestamp_pb2.Timestamp
    sequence: int
    facts: _containers.RepeatedCompositeFieldContainer[Fact]
    monthly_facts: _containers.RepeatedCompositeFieldContainer[MonthlyFact]
    def __init__(self, entity_type: _Optional[str] = ..., entity_id: _Optional[str] = ..., source: _Optional[str] = ..., as_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., sequence: _Optional[int] = ..., facts: _Optional[_Iterable[_Union[Fact, _Mapping]]] = ..., monthly_facts: _Optional[_Iterable[_Union[MonthlyFact, _Mapping]]] = ...) -> None: ...

class Fact(_message.Message):
    __slots__ = ("name", "number", "text")
    NAME_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    name: str
    number: float
    text: str
    def __init__(self, name: _Optional[str] = ..., number: _Optional[float] = ..., text: _Optional[str] = ...) -> None: ...

class MonthlyFact(_message.Message):
    __slots__ = ("name", "first_month", "values")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FIRST_MONTH_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    name: str
    first_month: int
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, name: _Optional[str] = ..., first_month: _Optional[int] = ..., values: _Optional[_Iterable[float]] = ...) -> None: ...

class PutFactsRequest(_message.Message):
    __slots__ = ("events",)
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[FactsEvent]
    def __init__(self, events: _Optional[_Iterable[_Union[FactsEvent, _Mapping]]] = ...) -> None: ...

class PutFactsResponse(_message.Message):
    __slots__ = ("applied",)
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    applied: int
    def __init__(self, applied: _Optional[int] = ...) -> None: ...

class StreamFactsResponse(_message.Message):
    __slots__ = ("received", "applied", "rejected", "rejections")
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    REJECTIONS_FIELD_NUMBER: _ClassVar[int]
    received: int
    applied: int
    rejected: int
    rejections: _containers.RepeatedCompositeFieldContainer[Rejection]
    def __init__(self, received: _Optional[int] = ..., applied: _Optional[int] = ..., rejected: _Optional[int] = ..., rejections: _Optional[_Iterable[_Union[Rejection, _Mapping]]] = ...) -> None: ...

class Rejection(_message.Message):
    __slots__ = ("message", "status")
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    message: int
    status: _status_pb2.Status
    def __init__(self, message: _Optional[int] = ..., status: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class GetFactsRequest(_message.Message):
    __slots__ = ("entity_type", "entity_id")
    ENTITY_TYPE_FIELD_NUMBER: _ClassVar[int]
    ENTITY_ID_FIELD_NUMBER: _ClassVar[int]
    entity_type: str
    entity_id: str
    def __init__(self, entity_type: _Optional[str] = ..., entity_id: _Optional[str] = ...) -> None: ...

class GetFactsResponse(_message.Message):
    __slots__ = ("facts", "monthly_facts")
    FACTS_FIELD_NUMBER: _ClassVar[int]
    MONTHLY_FACTS_FIELD_NUMBER: _ClassVar[int]
    facts: _containers.RepeatedCompositeFieldContainer[StoredFact]
    monthly_facts: _containers.RepeatedCompositeFieldContainer[StoredMonthlyFact]
    def __init__(self, facts: _Optional[_Iterable[_Union[StoredFact, _Mapping]]] = ..., monthly_facts: _Optional[_Iterable[_Union[StoredMonthlyFact, _Mapping]]] = ...) -> None: ...

class Stamp(_message.Message):
    __slots__ = ("source", "as_of", "sequence")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    source: str
    as_of: _timestamp_pb2.Timestamp
    sequence: int
    def __init__(self, source: _Optional[str] = ..., as_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., sequence: _Optional[int] = ...) -> None: ...

class StoredFact(_message.Message):
    __slots__ = ("fact", "stamp")
    FACT_FIELD_NUMBER: _ClassVar[int]
    STAMP_FIELD_NUMBER: _ClassVar[int]
    fact: Fact
    stamp: Stamp
    def __init__(self, fact: _Optional[_Union[Fact, _Mapping]] = ..., stamp: _Optional[_Union[Stamp, _Mapping]] = ...) -> None: ...

class StoredMonthlyFact(_message.Message):
    __slots__ = ("fact", "stamps")
    FACT_FIELD_NUMBER: _ClassVar[int]
    STAMPS_FIELD_NUMBER: _ClassVar[int]
    fact: MonthlyFact
    stamps: _containers.RepeatedCompositeFieldContainer[Stamp]
    def __init__(self, fact: _Optional[_Union[MonthlyFact, _Mapping]] = ..., stamps: _Optional[_Iterable[_Union[Stamp, _Mapping]]] = ...) -> None: ...

class DeleteEntityRequest(_message.Message):
    __slots__ = ("entity_type", "entity_id", "flush_cache")
    ENTITY_TYPE_FIELD_NUMBER: _ClassVar[int]
    ENTITY_ID_FIELD_NUMBER: _ClassVar[int]
    FLUSH_CACHE_FIELD_NUMBER: _ClassVar[int]
    entity_type: str
    entity_id: str
    flush_cache: bool
    def __init__(self, entity_type: _Optional[str] = ..., entity_id: _Optional[str] = ..., flush_cache: _Optional[bool] = ...) -> None: ...

class DeleteEntityResponse(_message.Message):
    __slots__ = ("existed",)
    EXISTED_FIELD_NUMBER: _ClassVar[int]
    existed: bool
    def __init__(self, existed: _Optional[bool] = ...) -> None: ...
