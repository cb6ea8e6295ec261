# A server that is always on: the page and the API of one gallery.
#
#   docker build -t vizinho .
#   docker run --read-only --tmpfs /tmp -p 8000:8000 -v "$PWD/photos.vizinho:/gallery:ro" vizinho
#
# It runs as a user without rights, writes nothing but to /tmp, and says by itself whether it is
# well. To bake a gallery in: FROM vizinho, then COPY photos.vizinho /gallery. To let clients add
# pictures: mount the gallery without :ro, owned by user 10001, and add `--writable` after the name
# of the image. (The function on AWS Lambda has an image of its own: src/vizinho/aws/Dockerfile.)
ARG BASE=docker.io/library/python:3.13-slim

FROM ${BASE} AS installed
WORKDIR /source
# What serving imports; pyarrow and matplotlib (250 MB) are for data sets and reports.
COPY deployment/server.txt ./
RUN python -m venv /opt/vizinho \
 && /opt/vizinho/bin/python -m pip install --no-cache-dir --no-compile -r server.txt
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY src ./src
COPY models ./models
RUN /opt/vizinho/bin/python -m pip install --no-cache-dir --no-compile --no-deps . \
 && /opt/vizinho/bin/python -m pip uninstall --yes --quiet pip setuptools \
 && python -m compileall -q --invalidation-mode unchecked-hash /opt/vizinho/lib

FROM ${BASE}
COPY --from=installed /opt/vizinho /opt/vizinho
ENV PATH=/opt/vizinho/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    OMP_NUM_THREADS=1 \
    VIZINHO_GALLERY=/gallery \
    VIZINHO_HOST=0.0.0.0 \
    VIZINHO_PORT=8000
WORKDIR /tmp
EXPOSE 8000
VOLUME /gallery
USER 10001:10001
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['VIZINHO_PORT'] + '/health', timeout=4)"]
ENTRYPOINT ["vizinho", "serve"]
RUN python -c "import vizinho.cli.serve, vizinho.serve.run" && vizinho --help > /dev/null
