# Three images from one file, all of them non-root and ready for a read-only root file system:
#   docker build --target operator -t frugal.dev/operator:0.1.0 .     the operator; no torch
#   docker build --target jobs     -t frugal.dev/jobs:0.1.0     .     what compresses; no kopf
#   docker build --target serve    -t frugal.dev/serve:0.1.0    .     what serves; neither
#
# BASE is pinned by tag, so that security fixes of the same Python arrive with a rebuild. A release pins it by digest
# too: --build-arg BASE=python:3.11-slim-bookworm@sha256:... . Any image with Python 3.11 to 3.13 and pip will do.
ARG BASE=python:3.11-slim-bookworm


FROM ${BASE} AS build
# Where pip looks, if not at its default: a mirror, or a folder with a CPU-only build of torch (the default is CUDA's).
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
ARG PIP_CERT
# pip ignores empty settings. As ENV they reach the stages below with every builder.
ENV PIP_INDEX_URL=${PIP_INDEX_URL} PIP_EXTRA_INDEX_URL=${PIP_EXTRA_INDEX_URL} PIP_FIND_LINKS=${PIP_FIND_LINKS} \
    PIP_CERT=${PIP_CERT} PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY pyproject.toml constraints.txt targets.txt ./
# One requirements file per extra, so that a change of our sources does not install the dependencies again.
RUN python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
[open(f'{x}.txt', 'w').write('\n'.join(p['dependencies'] + p['optional-dependencies'][x])) \
for x in ('operator', 'jobs', 'serve')]"


FROM build AS wheel
COPY README.md LICENSE ./
COPY operator operator
COPY jobs jobs
RUN python -m pip wheel --no-deps --wheel-dir /wheels .


FROM build AS build-operator
RUN python -m pip install --target /opt/frugal -c constraints.txt -r operator.txt
COPY --from=wheel /wheels /wheels
RUN python -m pip install --target /opt/frugal --upgrade --no-deps /wheels/*.whl


FROM build AS build-jobs
RUN python -m pip install --target /opt/frugal -c constraints.txt -r jobs.txt
# LiteRT, ExecuTorch and Keras come with --build-arg TARGETS=targets.txt (about 0.9 GB); jobs that want them say so without.
ARG TARGETS=
RUN if [ -n "$TARGETS" ]; then python -m pip install --target /opt/frugal --no-deps -r "$TARGETS"; fi
COPY --from=wheel /wheels /wheels
RUN python -m pip install --target /opt/frugal --upgrade --no-deps /wheels/*.whl


FROM build AS build-serve
RUN python -m pip install --target /opt/frugal -c constraints.txt -r serve.txt
COPY --from=wheel /wheels /wheels
RUN python -m pip install --target /opt/frugal --upgrade --no-deps /wheels/*.whl


FROM ${BASE} AS runtime
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.vendor="Frugal" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# Nothing that installs packages is left; the user is that of distroless' nonroot images.
RUN rm -rf /usr/local/lib/python3*/site-packages/* /usr/local/lib/python3*/ensurepip /usr/local/bin/pip* \
 && (grep -q :65532: /etc/passwd || echo 'nonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin' >> /etc/passwd) \
 && (grep -q :65532: /etc/group || echo 'nonroot:x:65532:' >> /etc/group)
ENV PYTHONPATH=/opt/frugal \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONFAULTHANDLER=1 \
    HOME=/tmp
WORKDIR /tmp
USER 65532:65532


FROM runtime AS operator
LABEL org.opencontainers.image.title="frugal-operator" \
      org.opencontainers.image.description="Frugal's operator: watches, decides, right-sizes and prices"
COPY --from=build-operator /opt/frugal /opt/frugal
ENTRYPOINT ["python", "-m", "frugal"]


FROM runtime AS jobs
LABEL org.opencontainers.image.title="frugal-jobs" \
      org.opencontainers.image.description="Frugal's compression pod: compresses, verifies and publishes a model"
COPY --from=build-jobs /opt/frugal /opt/frugal
ENTRYPOINT ["python", "-m", "frugal_jobs"]


FROM runtime AS serve
LABEL org.opencontainers.image.title="frugal-serve" \
      org.opencontainers.image.description="Frugal's model server: ONNX Runtime behind the Open Inference Protocol"
COPY --from=build-serve /opt/frugal /opt/frugal
ENTRYPOINT ["python", "-m", "frugal_serve"]
