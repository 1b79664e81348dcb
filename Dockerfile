# One image for every role: `serve --role api`, `serve --role worker`, `migrate up`.
# docker build --build-arg VERSION=$(git describe --tags --always) -t channelgraph .

FROM golang:1.26 AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates tzdata \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w -X github.com/channelgraph/channelgraph/internal/app.Version=${VERSION}" -o /out/channelgraph ./cmd/channelgraph
# Empty folders, owned by the user below: a single node's data, and scratch space.
RUN mkdir -p /out/data /out/tmp

# Nothing but the program, the certificates it trusts and the time zones it knows.
FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /usr/share/zoneinfo /usr/share/zoneinfo
COPY --from=build /out/channelgraph /channelgraph
COPY --from=build --chown=65532:65532 /out/data /data
COPY --from=build --chown=65532:65532 /out/tmp /tmp
ENV CHANNELGRAPH_ADDR=:8080 \
    CHANNELGRAPH_DATA=/data \
    CHANNELGRAPH_ENV=production
USER 65532:65532
EXPOSE 8080
VOLUME /data
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["/channelgraph", "healthy"]
ENTRYPOINT ["/channelgraph"]
CMD ["serve"]
