"""A small database in MaxMind's format: {network: {...}}, networks of IPv4 as '127.2.0.0/16'."""
import ipaddress
import struct

UINT16, UINT32, UINT64 = 5, 6, 9        # types: readers want them as the format says


def encode(value):
    """The data section's types: maps, texts, doubles, whole numbers, lists."""
    def control(kind, size):
        head = bytes([(kind << 5 if kind < 8 else 0) | min(size, 29)])
        return head + (bytes([kind - 7]) if kind > 7 else b'') + (bytes([size - 29]) if size >= 29 else b'')

    if isinstance(value, dict):
        return control(7, len(value)) + b''.join(encode(k) + encode(v) for k, v in value.items())
    if isinstance(value, str):
        return control(2, len(value.encode())) + value.encode()
    if isinstance(value, float):
        return control(3, 8) + struct.pack('>d', value)
    if isinstance(value, list):
        return control(11, len(value)) + b''.join(map(encode, value))
    kind, number = value if isinstance(value, tuple) else (UINT16, value)
    raw = number.to_bytes(8, 'big').lstrip(b'\0')
    return control(kind, len(raw)) + raw


def write(path, networks):
    nodes, data = [[None, None]], b''
    for network, value in networks.items():
        net = ipaddress.ip_network(network)
        bits, at = int(net.network_address), 0
        for depth in range(net.prefixlen):
            side = bits >> (31 - depth) & 1
            if depth == net.prefixlen - 1:
                nodes[at][side] = ('data', len(data))
            else:
                if nodes[at][side] is None:
                    nodes.append([None, None])
                    nodes[at][side] = len(nodes) - 1
                at = nodes[at][side]
        data += encode(value)

    def record(one):
        number = len(nodes) if one is None else one if isinstance(one, int) else len(nodes) + 16 + one[1]
        return number.to_bytes(3, 'big')

    tree = b''.join(record(side) for node in nodes for side in node)
    meta = {'binary_format_major_version': 2, 'binary_format_minor_version': 0, 'build_epoch': (UINT64, 1700000000),
            'database_type': 'Test-City', 'description': {'en': 'test'}, 'ip_version': 4, 'languages': ['en'],
            'node_count': (UINT32, len(nodes)), 'record_size': 24}
    path.write_bytes(tree + bytes(16) + data + b'\xab\xcd\xefMaxMind.com' + encode(meta))
