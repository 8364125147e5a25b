"""Asks a daemon what any gRPC client can, and knows nothing of it but its socket.

It learns services and messages by reflection, and prints what it was told as JSON.

    third_party_client.py SOCKET RECORDING
"""

import json
import os
import subprocess
import sys
import tempfile

import grpc
from google.protobuf import descriptor_pb2
from google.protobuf import descriptor_pool
from google.protobuf import json_format
from google.protobuf import message_factory

PATIENCE = 60  # seconds

# What gRPC itself defines, as far as it is used here.
PROTOS = {
    "reflection": """
syntax = "proto3";
package grpc.reflection.v1alpha;
message ServerReflectionRequest {
  string host = 1;
  oneof message_request {
    string file_by_filename = 3;
    string file_containing_symbol = 4;
    string list_services = 7;
  }
}
message FileDescriptorResponse { repeated bytes file_descriptor_proto = 1; }
message ListServiceResponse { repeated ServiceResponse service = 1; }
message ServiceResponse { string name = 1; }
message ErrorResponse { int32 error_code = 1; string error_message = 2; }
message ServerReflectionResponse {
  oneof message_response {
    FileDescriptorResponse file_descriptor_response = 4;
    ListServiceResponse list_services_response = 6;
    ErrorResponse error_response = 7;
  }
}
""",
    "health": """
syntax = "proto3";
package grpc.health.v1;
message HealthCheckRequest { string service = 1; }
message HealthCheckResponse {
  enum ServingStatus { UNKNOWN = 0; SERVING = 1; NOT_SERVING = 2; SERVICE_UNKNOWN = 3; }
  ServingStatus status = 1;
}
""",
}


def compile_protos():
    with tempfile.TemporaryDirectory() as directory:
        for name, text in PROTOS.items():
            with open(os.path.join(directory, name + ".proto"), "w") as file:
                file.write(text)
        out = os.path.join(directory, "all")
        names = [name + ".proto" for name in PROTOS]
        subprocess.run(["protoc", "-I", directory, "-o", out] + names, check=True)
        with open(out, "rb") as file:
            return descriptor_pb2.FileDescriptorSet.FromString(file.read()).file


class Client:
    def __init__(self, socket):
        self.channel = grpc.insecure_channel("unix:" + socket)
        self.pool = descriptor_pool.DescriptorPool()
        self.factory = message_factory.MessageFactory(self.pool)
        for file in compile_protos():
            self.pool.Add(file)

    def message(self, name):
        return self.factory.GetPrototype(self.pool.FindMessageTypeByName(name))

    def reflect(self, **request):
        package = "grpc.reflection.v1alpha."
        call = self.channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=self.message(package + "ServerReflectionResponse").FromString,
        )
        requests = iter([self.message(package + "ServerReflectionRequest")(**request)])
        response = next(call(requests, timeout=PATIENCE))
        if response.HasField("error_response"):
            raise RuntimeError(response.error_response.error_message)
        return response

    def services(self):
        listed = self.reflect(list_services="").list_services_response.service
        return sorted(service.name for service in listed)

    def learn(self, service):
        """Its messages, with everything that they need, from the server alone."""
        files = {}
        response = self.reflect(file_containing_symbol=service)
        todo = list(response.file_descriptor_response.file_descriptor_proto)
        while todo:
            file = descriptor_pb2.FileDescriptorProto.FromString(todo.pop())
            files[file.name] = file
            for name in file.dependency:
                if name not in files:
                    response = self.reflect(file_by_filename=name)
                    todo.extend(response.file_descriptor_response.file_descriptor_proto)
        added = set()

        def add(name):
            if name in added:
                return
            added.add(name)
            for dependency in files[name].dependency:
                add(dependency)
            self.pool.Add(files[name])

        for name in files:
            add(name)

    def call(self, method, request, response, **fields):
        stub = self.channel.unary_unary(
            method,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=self.message(response).FromString,
        )
        return stub(self.message(request)(**fields), timeout=PATIENCE)

    def read(self, **fields):
        stub = self.channel.unary_stream(
            "/sluice.v1.StreamService/ReadStream",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=self.message("sluice.v1.ReadStreamResponse").FromString,
        )
        request = self.message("sluice.v1.ReadStreamRequest")(**fields)
        data = b""
        for response in stub(request, timeout=PATIENCE):
            assert response.offset == len(data)
            assert 0 < len(response.data) <= 1 << 20
            data += response.data
        return data


def pages(client, recording, size):
    token = ""
    while True:
        page = client.call(
            "/sluice.v1.StreamService/ListStreams",
            "sluice.v1.ListStreamsRequest",
            "sluice.v1.ListStreamsResponse",
            parent=recording,
            page_size=size,
            page_token=token,
        )
        yield [stream.name for stream in page.streams]
        token = page.next_page_token
        if not token:
            return


def error_of(call):
    try:
        call()
    except grpc.RpcError as error:
        return {"code": error.code().name, "message": error.details()}
    return {"code": "OK", "message": ""}


def main():
    socket, recording = sys.argv[1:]
    client = Client(socket)
    told = {"services": client.services()}
    health = client.call(
        "/grpc.health.v1.Health/Check",
        "grpc.health.v1.HealthCheckRequest",
        "grpc.health.v1.HealthCheckResponse",
    )
    told["health"] = json_format.MessageToDict(health)["status"]

    client.learn("sluice.v1.StatusService")
    client.learn("sluice.v1.StreamService")
    status = client.call(
        "/sluice.v1.StatusService/GetStatus", "sluice.v1.GetStatusRequest", "sluice.v1.Status"
    )
    told["status"] = json_format.MessageToDict(status)
    told["pages"] = list(pages(client, recording, 2))
    names = [name for page in told["pages"] for name in page]
    told["lengths"] = {name: len(client.read(name=name)) for name in names}
    told["errors"] = {
        "stream": error_of(lambda: client.read(name=recording + "/streams/9-0-9")),
        "offset": error_of(lambda: client.read(name=names[0], offset=1 << 40)),
        "parent": error_of(lambda: list(pages(client, "recordings/nothing", 2))),
        "page": error_of(lambda: list(pages(client, recording, -1))),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
