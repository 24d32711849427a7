package controller

import (
	"context"

	"github.com/chatcluster/chatcluster/operator/internal/resources"
)

// chooseReplicas says how many pods each Deployment shall have.
func (p *pass) chooseReplicas(ctx context.Context) {
	spec, replicas := &p.cluster.Spec, p.inputs.Replicas
	if p.observed.Hibernated {
		p.state.scaling = scaling{}
		for _, part := range resources.Deployments {
			replicas[part] = 0
		}
		return
	}
	replicas[resources.PartAPI] = value(spec.API.Replicas)
	replicas[resources.PartGateway] = value(spec.Gateway.Replicas)
	replicas[resources.PartArchiver] = value(spec.Archiver.Replicas)

	children := p.children
	if a, ok := gateways(p.cluster, children.deployments[resources.PartGateway], children.podsOf(resources.PartGateway)); ok {
		replicas[a.part] = p.scale(ctx, a, p.observed.Paused)
	}
	if a, ok := archivers(p.cluster, children.deployments[resources.PartArchiver], children.podsOf(resources.PartArchiver)); ok {
		// What waits for a backend that is away gets no shorter by more archivers.
		replicas[a.part] = p.scale(ctx, a, p.observed.Paused || p.observed.Unreachable != "")
	}
}

// scale says how many pods an autoscaled part shall have: as many as there are,
// if nothing shall be decided.
func (p *pass) scale(ctx context.Context, a autoscaled, hold bool) int32 {
	if hold {
		return a.current()
	}
	return p.scaler().scale(ctx, a)
}

// rebalance moves sockets to gateways that are new.
func (p *pass) rebalance(ctx context.Context) error {
	if p.cluster.Spec.Gateway.Rebalance != "Enabled" || p.observed.Paused || p.observed.Hibernated {
		return nil
	}
	p.rebalances = p.scaler().rebalance(ctx, p.children.deployments[resources.PartGateway], p.children.podsOf(resources.PartGateway))
	return nil
}

func (p *pass) scaler() scaler {
	return scaler{scaling: &p.state.scaling, pods: p.options.Pods, logger: p.logger, now: p.observed.Now}
}

// autoscales reports whether the load of pods is to be looked at again and again.
func (p *pass) autoscales() bool {
	spec := &p.cluster.Spec
	return !p.observed.Hibernated && !p.observed.Paused && (spec.Gateway.Autoscaling != nil || spec.Archiver.Autoscaling != nil)
}
