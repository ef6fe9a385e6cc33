"""T12: tries to connect by all that Python, its libraries and Pyodide have for it."""

import asyncio
import ctypes
import http.client
import importlib
import smtplib
import socket
import struct
import urllib.request
import xmlrpc.client

from attempts import attempt, canaries

url = f"http://127.0.0.1:{canaries.port}/"
address = ("127.0.0.1", canaries.port)
libc = ctypes.CDLL(None)


def by_libc() -> object:
    descriptor = libc.socket(socket.AF_INET, socket.SOCK_STREAM, 0)
    name = struct.pack("=HH4s8x", socket.AF_INET, socket.htons(canaries.port), bytes([127, 0, 0, 1]))
    if descriptor < 0 or libc.connect(descriptor, name, len(name)) < 0:
        raise OSError
    return libc.send(descriptor, b"x", 1, 0)


async def stream() -> object:
    _, writer = await asyncio.open_connection(*address)
    writer.write(b"x")
    await writer.drain()
    return "connected"


def sendto() -> object:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", address)


def talk() -> object:
    connected = socket.create_connection(address, timeout=1)
    connected.sendall(b"x")
    return connected.recv(1)


def serve() -> object:
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(0.01)
    return listening.accept()


async def fetch() -> object:
    return await importlib.import_module("pyodide.http").pyfetch(url)


attempt("socket", talk)
attempt("IPv6", lambda: socket.socket(socket.AF_INET6).sendall(b"x"))
attempt("a datagram", sendto)
attempt("a name", lambda: socket.getaddrinfo("localhost", canaries.port))
attempt("socket of libc", by_libc)
attempt("urllib", lambda: urllib.request.urlopen(url, timeout=1).read())
attempt("urllib, a file", lambda: urllib.request.urlopen(f"file://{canaries.secret}").read())
attempt("http.client", lambda: http.client.HTTPConnection(*address, timeout=1).request("GET", "/"))
attempt("smtplib", lambda: smtplib.SMTP(*address, timeout=1))
attempt("xmlrpc", lambda: xmlrpc.client.ServerProxy(url).system.listMethods())
attempt("asyncio", lambda: asyncio.run(stream()))
attempt("open_url", lambda: importlib.import_module("pyodide.http").open_url(url).read())
attempt("pyfetch", lambda: asyncio.run(fetch()))
attempt("js.fetch", lambda: importlib.import_module("js").fetch(url))
attempt(
    "js.XMLHttpRequest", lambda: importlib.import_module("js").XMLHttpRequest.new().open("GET", url, False)
)
attempt(
    "js.WebSocket", lambda: importlib.import_module("js").WebSocket.new(f"ws://127.0.0.1:{canaries.port}/")
)
attempt("a server of its own", serve)
